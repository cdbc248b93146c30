"""What a site reports of its nodes: which are gone, and which links are slow."""
