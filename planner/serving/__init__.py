"""A serving job: what a step costs, what fits, and how long requests take under a load."""
