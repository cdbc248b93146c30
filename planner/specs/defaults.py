"""What a job is when nothing states it. Command-line help names these, so this module imports
nothing."""

DEFAULT_HEADROOM = 0.05
"""Share of device memory that must stay free."""
DEFAULT_SOFTWARE = "megatron-core-overlap"
"""What people run today: Megatron Core with its usual overlaps on."""
UNSTATED_SOFTWARE = "megatron-core"
"""Of a measured run that states no profile: switches that nothing says are on are off."""
