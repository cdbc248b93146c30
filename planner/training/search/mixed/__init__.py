"""Which device types hold which stages, and how many layers each, decided together."""
