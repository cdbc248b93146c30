"""Placement on large clusters by classes of nodes."""
