"""A job from its first step to its last: failures, checkpoints, goodput, days."""
