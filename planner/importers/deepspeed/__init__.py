"""Reads DeepSpeed configurations as launch files."""
