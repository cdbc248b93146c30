"""What a job is when nothing states it. Command-line help names these, so this module imports
nothing."""

DEFAULT_HEADROOM = 0.05
"""Share of device memory that must stay free."""
DEFAULT_SOFTWARE = "megatron-core"
"""What people run today: Megatron Core with its usual overlaps on."""
