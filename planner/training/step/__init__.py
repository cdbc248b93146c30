"""One step of a plan: passes, sends, reductions and their sum."""
