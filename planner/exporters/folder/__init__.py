"""A folder that launches a plan: it wants paths of data and nothing else."""
