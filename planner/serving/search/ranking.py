"""Plans in order, and how far the first may be from the best."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from planner.budget import Stopped
from planner.serving.search.front import front_of
from planner.serving.search.plans import shape_of
from planner.serving.search.result import ServingSearch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.serving.forecast import Offer
    from planner.serving.search.job import ServingJob
    from planner.serving.search.space import ReplicaSpace
    from planner.solver import SolverRecord

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


def concluded(
    job: ServingJob,
    space: ReplicaSpace,
    offers: Sequence[tuple[float, Offer]],
    bound: float | None,
    *,
    top: int,
    candidates: int,
    priced: int,
    cut: Stopped | None,
    impossible: bool,
    front: tuple[Offer, ...],
    solver: SolverRecord,
) -> ServingSearch:
    """What a search ends with: offers by their scores, the best first, and the score that none
    beats. `impossible`: no plan keeps the limits, which is proven; `cut`: what ended it early."""
    scores = [score for score, _ in offers]
    if bound is not None:
        bound = max([bound, *scores[:1]])
        bound = bound if isfinite(bound) else None
    ranked = tuple(offer for _, offer in offers[:top])
    gap = _gap(scores[0], bound, job) if scores and bound is not None else None
    closed = gap == 0.0 if scores else impossible
    return ServingSearch(
        objective=job.goal.objective,
        offers=ranked,
        kinds=len(space.kinds),
        candidates=candidates,
        priced=priced,
        bound=None if bound is None else job.goal.value(bound, job.load.mean_output),
        gap=gap,
        stopped=cut or (Stopped.PROVEN if closed else Stopped.WORK_LIMIT),
        front=front or front_of(ranked),
        excluded=space.excluded,
        solver=solver,
    )


def _gap(score: float, bound: float, job: ServingJob) -> float:
    """How far a value may be from the best, as a share of the larger one."""
    value = job.goal.value(score, job.load.mean_output)
    best = job.goal.value(bound, job.load.mean_output)
    gap = abs(best - value) / max(value, best)
    return gap if gap > _SAME else 0.0
