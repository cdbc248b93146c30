"""Placement of large clusters by classes of like nodes."""
