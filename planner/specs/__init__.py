"""What a user writes (clusters, models, devices, software profiles, measured runs), checked and
turned into values in SI base units."""
