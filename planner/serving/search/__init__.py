"""Searching serving plans: which replicas there are, how many of each, and a bound of all."""
