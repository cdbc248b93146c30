"""Clusters from what benchmarks, drivers and schedulers print."""
