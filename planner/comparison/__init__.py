"""Plans side by side: what differs, what each difference costs, whether a checkpoint survives."""
