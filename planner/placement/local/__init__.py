"""Local search over placements."""
