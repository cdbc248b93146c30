"""The placement problem as values, and what is the same in it."""
