"""Lower bounds over all placements."""
