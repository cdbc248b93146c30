"""The placement problem as values, and its symmetries."""
