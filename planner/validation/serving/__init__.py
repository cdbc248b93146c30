"""Measured serving runs against their estimates."""
