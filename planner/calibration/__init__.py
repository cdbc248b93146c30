"""Device files fitted to a user's own measured runs: what the runs say, and what they cannot."""
