"""Lower bounds on time and memory for all combinations at once."""
