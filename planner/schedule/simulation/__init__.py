"""The event simulation of a schedule, and what it shows over time."""
