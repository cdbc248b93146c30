"""One layer of a stage: its seconds, bytes and FLOPs."""
