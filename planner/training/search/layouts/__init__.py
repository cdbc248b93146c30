"""Which layers each chunk of a plan holds."""
