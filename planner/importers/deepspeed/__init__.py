"""DeepSpeed configurations in place of a plan."""
