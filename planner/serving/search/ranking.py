"""Plans in order, and how far the first may be from the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.serving.search.plans import shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.serving.forecast import Offer
    from planner.serving.search.job import ServingJob

_SAME = 1e-6
"""Share by which two scores differ at least."""


def with_offer(
    offers: Sequence[tuple[float, Offer]], one: tuple[float, Offer]
) -> list[tuple[float, Offer]]:
    """Offers by their scores, with one more where it is another plan."""
    found: dict[object, tuple[float, Offer]] = {}
    for scored in sorted([*offers, one], key=lambda pair: -pair[0]):
        found.setdefault(shape_of(scored[1].plan), scored)
    return list(found.values())


def gap_of(score: float, bound: float, job: ServingJob) -> float:
    """How far a value may be from the best, as a share of the larger one."""
    value = job.goal.value(score, job.load.mean_output)
    best = job.goal.value(bound, job.load.mean_output)
    gap = abs(best - value) / max(value, best)
    return gap if gap > _SAME else 0.0
