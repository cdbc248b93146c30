"""Estimates against measured runs: how far off, in what regime, and how sure that makes us."""
