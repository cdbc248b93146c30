"""Closed forms and windows that bound a schedule's time."""
