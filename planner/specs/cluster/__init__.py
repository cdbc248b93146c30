"""Clusters: nodes, links, tiers and measured matrices."""
