"""Ranges in words: how sure a number is, written after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.wording.units import time_scale

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planner.plan import Estimate


def seconds_between(estimate: Estimate) -> str:
    """` (16.93–19.58)`: where the step time lies, in the unit in which it is written."""
    if estimate.confidence is None:
        return ""
    scale = time_scale(estimate.step_s)
    return between(map(scale.number, estimate.confidence.step.around(estimate.step_s)))


def between(ends: Iterable[str]) -> str:
    """` (low–high)`: both ends of a range, after a number."""
    return f" ({'–'.join(ends)})"
