"""Stage layout as an optimisation: which layers each chunk holds, and how many of them it
recomputes."""
