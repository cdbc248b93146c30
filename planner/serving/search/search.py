"""The best serving plans for a load on a cluster."""

from __future__ import annotations

from math import isclose, isfinite
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import OutOfTime, Stopped
from planner.serving.search.equal import best_equal
from planner.serving.search.front import front_of, leading
from planner.serving.search.impossible import relaxations_of
from planner.serving.search.job import ServingProgress
from planner.serving.search.mixing import PoolSpace, best_mixed
from planner.serving.search.plans import offer_of, scored_offer, shape_of
from planner.serving.search.pricing import Pricing
from planner.serving.search.result import ServingSearch
from planner.serving.search.space import space_of
from planner.solver import Solver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.budget import Budget
    from planner.serving.forecast import Offer
    from planner.serving.search.equal import EqualReplicas
    from planner.serving.search.job import ServingJob
    from planner.serving.search.mixing import MixedReplicas
    from planner.serving.search.space import ReplicaSpace

_SAME = 1e-6
"""Share by which two scores differ at least."""
_FRONT_SETTINGS = 8
"""Of each kind, priced for the front."""


def search_serving(
    job: ServingJob,
    *,
    top: int,
    budget: Budget,
    progress: Callable[[ServingProgress], None] | None = None,
) -> ServingSearch:
    """The `top` best plans, the front, and how far the first may be from the best.

    Raises: RuleError where engine and devices refuse every kind of replica.
    """
    space = space_of(
        job.cluster.node_groups, job.rooms, job.model, job.engine, job.allowed, job.load
    )
    if not space.kinds and space.refusals and len(space.refusals) == len(space.excluded):
        raise space.refusals[0]
    run = _Run(job, space, budget, progress)
    return run.answer(top)


class _Run:
    """One search."""

    def __init__(
        self,
        job: ServingJob,
        space: ReplicaSpace,
        budget: Budget,
        progress: Callable[[ServingProgress], None] | None,
    ) -> None:
        self._job, self._space, self._budget = job, space, budget
        self._progress = progress
        self._pricing = Pricing(job.load, job.goal, job.clients)
        self._solver = Solver()

    def answer(self, top: int) -> ServingSearch:
        job = self._job
        self._say("bounding")
        equal = self._equal(top)
        mixed, out_of_time = None, False
        self._say("mixing")
        try:
            mixed = self._mixed(equal)
        except OutOfTime:
            out_of_time = True
        offers = [(one.score, offer_of(self._job, one)) for one in equal.found]
        if mixed is not None:
            offers = self._with_mixed(offers, mixed)
        scores = [score for score, _ in offers]
        bound = self._bound(scores, equal, mixed, out_of_time)
        ranked = tuple(offer for _, offer in offers[:top])
        gap = _gap(scores[0], bound, job) if scores and bound is not None else None
        late = out_of_time or self._budget.late
        front = self._front(ranked)
        near = () if ranked else tuple(offer_of(self._job, one) for one in equal.closest)
        stopped = Stopped.TIME_LIMIT if late else Stopped.PROVEN
        if not late and gap:
            stopped = Stopped.WORK_LIMIT
        return ServingSearch(
            objective=job.goal.objective,
            offers=ranked,
            kinds=len(self._space.kinds),
            candidates=equal.candidates,
            priced=len(self._pricing.priced),
            bound=None if bound is None else job.goal.value(bound, job.load.mean_output),
            gap=gap,
            stopped=stopped,
            front=front,
            nearest=near,
            relaxations=() if ranked else relaxations_of(job.goal, self._pricing.priced),
            excluded=self._space.excluded,
            solver=self._solver.record,
        )

    def _equal(self, top: int) -> EqualReplicas:
        kinds = () if self._job.allowed.disaggregated else self._space.kinds
        return best_equal(
            kinds,
            self._job.load,
            self._job.goal,
            self._pricing,
            top=top,
            budget=self._budget,
        )

    def _mixed(self, equal: EqualReplicas) -> MixedReplicas | None:
        job = self._job
        pools = PoolSpace(
            kinds=self._space.kinds,
            rooms=job.rooms,
            links=job.links,
            disaggregated=job.allowed.disaggregated,
            clients=job.clients,
        )
        floor = equal.found[0].score if equal.found else None
        return best_mixed(
            pools,
            job.load,
            job.goal,
            self._pricing,
            self._solver,
            budget=self._budget,
            floor=floor,
        )

    def _with_mixed(
        self, offers: list[tuple[float, Offer]], mixed: MixedReplicas
    ) -> list[tuple[float, Offer]]:
        """The offers with what the program chose, where it keeps the limits and is another plan."""
        score, offer = scored_offer(self._job, mixed.parts)
        if offer.missed:
            return offers
        found: dict[object, tuple[float, Offer]] = {}
        for one in sorted([*offers, (score, offer)], key=lambda one: -one[0]):
            found.setdefault(shape_of(one[1].plan), one)
        return list(found.values())

    def _bound(
        self,
        scores: Sequence[float],
        equal: EqualReplicas,
        mixed: MixedReplicas | None,
        out_of_time: bool,
    ) -> float | None:
        """A score that no plan has more than; None where time ran out before one was known."""
        if out_of_time or (not scores and mixed is None):
            return None
        bound = max([*scores[:1], equal.bound if mixed is None else mixed.bound])
        return bound if isfinite(bound) else None

    def _front(self, ranked: Sequence[Offer]) -> tuple[Offer, ...]:
        """Of the plans found and of some settings of every usual kind."""
        self._say("front")
        job = self._job
        for kind in () if job.allowed.disaggregated else self._space.kinds:
            if not kind.usual or self._budget.late:
                continue
            settings = self._pricing.settings(kind)
            picks = np.linspace(0, len(settings.clients) - 1, _FRONT_SETTINGS)
            for at in np.unique(np.rint(picks)).astype(int).tolist():
                self._pricing.replicas(kind, settings, at)
        whole = [
            one
            for one in self._pricing.priced
            if job.clients is None or isclose(one.replicas * one.clients, job.clients)
        ]
        return front_of([*ranked, *(offer_of(job, one) for one in leading(whole))])

    def _say(self, phase: str) -> None:
        if self._progress is not None:
            kinds, priced = len(self._space.kinds), len(self._pricing.priced)
            self._progress(ServingProgress(phase=phase, kinds=kinds, priced=priced))


def _gap(score: float, bound: float, job: ServingJob) -> float:
    """How far a value may be from the best, as a share of the larger one."""
    value = job.goal.value(score, job.load.mean_output)
    best = job.goal.value(bound, job.load.mean_output)
    gap = abs(best - value) / max(value, best)
    return gap if gap > _SAME else 0.0
