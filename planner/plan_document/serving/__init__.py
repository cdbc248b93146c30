"""The document of serving plans: pools, what they were made from and what they do."""
