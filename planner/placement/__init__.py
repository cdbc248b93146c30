"""Placement: which host takes each position of the rank grid."""
