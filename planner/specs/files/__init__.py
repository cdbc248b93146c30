"""Files with places: strict YAML, JSON, what is wrong where, shipped names."""
