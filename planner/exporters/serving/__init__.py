"""Serving plans as what engines and their deployments read."""
