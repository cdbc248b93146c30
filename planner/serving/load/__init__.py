"""Requests over time: lengths, the steady state in closed form, and the simulation of steps."""
