"""The best serving plans for a load on a cluster."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isclose
from typing import TYPE_CHECKING

import numpy as np

from planner.alarm import enforced
from planner.budget import OutOfTime, Stopped
from planner.serving.search.bounds import bounds_of
from planner.serving.search.columns import pool_space
from planner.serving.search.equal import NOTHING, EqualSearch
from planner.serving.search.front import beaten, front_of, leading
from planner.serving.search.impossible import relaxations_of, without_room
from planner.serving.search.job import ServingProgress
from planner.serving.search.mixing import MixedSearch
from planner.serving.search.open_search import OpenSearch
from planner.serving.search.plans import offer_of, scored_offer
from planner.serving.search.pricing import Pricing
from planner.serving.search.ranking import concluded, with_offer
from planner.serving.search.space import space_of
from planner.solver import Solver

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.budget import Budget
    from planner.serving.forecast import Offer
    from planner.serving.search.job import ServingJob
    from planner.serving.search.pricing import PricedReplicas
    from planner.serving.search.result import ServingSearch
    from planner.serving.search.space import ReplicaSpace

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
    found = _found(job, space, top, budget, progress)
    if space.kinds or space.fullest is None:
        return found
    return replace(found, relaxations=without_room(space.fullest, job.load))


def _found(
    job: ServingJob,
    space: ReplicaSpace,
    top: int,
    budget: Budget,
    progress: Callable[[ServingProgress], None] | None,
) -> ServingSearch:
    if job.stream is not None:
        return OpenSearch(job, job.stream, space, budget, progress).answer(top)
    return _Run(job, space, budget, progress).answer(top)


class _Run:
    """One search. What cuts it short, a time limit or Ctrl-C, leaves the plans and the bound that
    are known by then."""

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
        self._equal: EqualSearch | None = None
        self._mixed: MixedSearch | None = None
        self._front: tuple[Offer, ...] = ()

    def answer(self, top: int) -> ServingSearch:
        job = self._job
        cut = self._searched(top)
        equal = NOTHING if self._equal is None else self._equal.result
        offers = [(one.score, offer_of(job, one)) for one in equal.found]
        mixed = self._mixed
        if mixed is not None and mixed.parts is not None:
            offers = with_offer(offers, scored_offer(job, mixed.parts))
        bound = None if mixed is None or self._equal is None else mixed.bound
        if bound is not None and cut:
            bound = max(bound, equal.bound)
        found = concluded(
            job,
            self._space,
            offers,
            bound,
            top=top,
            candidates=equal.candidates,
            priced=len(self._pricing.priced),
            cut=cut,
            impossible=mixed is not None and mixed.impossible,
            front=self._front,
            solver=self._solver.record,
        )
        if found.offers:
            return found
        return replace(
            found,
            nearest=tuple(offer_of(job, one) for one in equal.closest),
            relaxations=relaxations_of(job.goal, [one.estimate for one in self._pricing.priced]),
        )

    def _searched(self, top: int) -> Stopped | None:
        """What cut the search short."""
        job, budget = self._job, self._budget
        alone = () if job.allowed.disaggregated else self._space.kinds
        try:
            with enforced(budget):
                self._say("bounding")
                self._mixed = MixedSearch(
                    pool_space(job, self._space.kinds),
                    job.load,
                    job.goal,
                    self._pricing,
                    self._solver,
                )
                self._equal = EqualSearch(alone, job.load, job.goal, self._pricing, top=top)
                half = budget.longer(-budget.left_s / 2) if budget.timed else budget
                self._equal.run(half)
                self._say("mixing")
                found = self._equal.result.found
                self._mixed.run(budget, floor=found[0].score if found else None)
                self._say("front")
                self._front = self._drawn()
        except OutOfTime:
            return Stopped.TIME_LIMIT
        except KeyboardInterrupt:
            return Stopped.INTERRUPTED
        return Stopped.TIME_LIMIT if budget.late else None

    def _drawn(self) -> tuple[Offer, ...]:
        """The front of the plans found and of some settings of every usual kind. Settings whose
        bounds another one beats already are not simulated."""
        job = self._job
        points = []
        for kind in () if job.allowed.disaggregated else self._space.kinds:
            if not kind.usual:
                continue
            settings = self._pricing.settings(kind)
            picks = np.linspace(0, len(settings.clients) - 1, _FRONT_SETTINGS)
            bounds = bounds_of(kind, job.load, settings.clients)
            for at in np.unique(np.rint(picks)).astype(int).tolist():
                rate, tpot_s = float(bounds.rate[at]) / kind.devices, float(bounds.tpot_s[at])
                points.append((tpot_s / rate if rate else inf, rate, tpot_s, kind, settings, at))
        known = leading(self._whole())
        for _, rate, tpot_s, kind, settings, at in sorted(points, key=lambda one: one[0]):
            self._budget.check()
            if not beaten(rate, tpot_s, known):
                known = leading([*known, self._pricing.replicas(kind, settings, at)])
        best = (
            []
            if self._mixed is None or self._mixed.parts is None
            else [scored_offer(job, self._mixed.parts)[1]]
        )
        return front_of([*best, *(offer_of(job, one) for one in leading(self._whole()))])

    def _whole(self) -> list[PricedReplicas]:
        """What was simulated with all requests under way."""
        clients = self._job.clients
        return [
            one
            for one in self._pricing.priced
            if clients is None or isclose(one.replicas * one.clients, clients)
        ]

    def _say(self, phase: str) -> None:
        if self._progress is not None:
            kinds, priced = len(self._space.kinds), len(self._pricing.priced)
            self._progress(ServingProgress(phase=phase, kinds=kinds, priced=priced))
