"""How many instances the long tests try: enough for every kind, or all that there are."""

from __future__ import annotations

import os

EVERY_INSTANCE = "PLANNER_EVERY_INSTANCE" in os.environ
"""Set to 1 by `make test-random`, or by hand."""


def instances(few: int, many: int) -> int:
    """`few` in every run, `many` where all instances are asked for."""
    return many if EVERY_INSTANCE else few
