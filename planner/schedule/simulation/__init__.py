"""The event simulation of a schedule, and its results over time."""
