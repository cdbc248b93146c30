"""Bytes of a stage: what it keeps, and its peaks."""
