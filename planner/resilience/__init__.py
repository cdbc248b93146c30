"""What becomes of a job whose machines fail: the months of a plan, with spare nodes and without."""
