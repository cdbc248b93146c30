"""Seconds of one layer of a model that serves, by the tokens of a step."""
