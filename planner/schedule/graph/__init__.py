"""A schedule as a graph of passes and messages."""
