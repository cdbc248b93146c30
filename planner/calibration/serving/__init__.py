"""Kernels and host times of a serving engine, refitted to measured serving runs."""
