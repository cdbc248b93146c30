"""Which hosts a plan runs on."""
