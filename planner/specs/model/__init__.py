"""Models: shapes, architectures and their defaults."""
