"""Lower bounds of time and memory for all combinations at once."""
