"""Launchers that start each rank where the plan has it, and refuse to run where they cannot."""
