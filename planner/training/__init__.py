"""Training jobs: the memory and the time of one step, and the search for the best plan."""
