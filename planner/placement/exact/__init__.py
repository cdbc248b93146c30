"""Exact placement of small clusters."""
