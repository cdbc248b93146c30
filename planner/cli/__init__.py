"""The command line. `main` is what the `planner` program runs."""

from planner.cli.app import main

__all__ = ["main"]
