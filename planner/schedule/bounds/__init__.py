"""Closed forms and windows that bound the time of a schedule."""
