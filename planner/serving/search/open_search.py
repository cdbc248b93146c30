"""The best serving plans for requests that come at times of their own."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

from planner.alarm import enforced
from planner.budget import OutOfTime, Stopped
from planner.errors import RuleError
from planner.serving.deployment import PoolPart
from planner.serving.search.columns import pool_space
from planner.serving.search.front import front_of
from planner.serving.search.job import ServingProgress
from planner.serving.search.plans import scored_offer
from planner.serving.search.ranking import concluded, with_offer
from planner.serving.search.rates import RatePricing
from planner.serving.search.shortfall import shortfalls
from planner.serving.search.streams import StreamSearch
from planner.solver import Solver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from planner.budget import Budget
    from planner.serving.forecast import Offer
    from planner.serving.load.arrivals import Stream
    from planner.serving.search.job import ServingJob
    from planner.serving.search.rates import RatedReplica
    from planner.serving.search.result import ServingSearch
    from planner.serving.search.space import ReplicaSpace

_FRONT_POINTS = 24
"""Plans of the front that are priced as a whole."""


class OpenSearch:
    """One search. What cuts it short leaves the plans and the bound that are known by then."""

    def __init__(
        self,
        job: ServingJob,
        stream: Stream,
        space: ReplicaSpace,
        budget: Budget,
        progress: Callable[[ServingProgress], None] | None,
    ) -> None:
        self._job, self._stream, self._space = job, stream, space
        self._budget, self._progress = budget, progress
        self._solver = Solver()
        asked = None if job.goal.objective == "throughput" else stream.rate_per_s
        self._pricing = RatePricing(stream, job.goal, asked)
        self._found: StreamSearch | None = None
        self._front: tuple[Offer, ...] = ()
        self._others: list[tuple[float, Offer]] = []
        self._relaxations: tuple[str, ...] = ()

    def answer(self, top: int) -> ServingSearch:
        """The best plan, that of every kind that was looked at, and the front."""
        job = self._job
        cut = self._searched(top)
        found = self._found
        offers = self._others
        if found is not None and found.parts is not None:
            offers = with_offer(offers, scored_offer(job, found.parts))
        answer = concluded(
            job,
            self._space,
            offers,
            None if found is None else found.bound,
            top=top,
            candidates=0 if found is None else found.candidates,
            priced=len(self._pricing.priced),
            cut=cut,
            impossible=found is not None and found.impossible,
            front=self._front,
            solver=self._solver.record,
        )
        return answer if answer.offers else replace(answer, relaxations=self._relaxations)

    def _searched(self, top: int) -> Stopped | None:
        """What cut the search short."""
        job, budget = self._job, self._budget
        try:
            with enforced(budget):
                self._say("bounding")
                space = pool_space(job, self._space.kinds)
                self._found = StreamSearch(
                    space, self._stream, job.load, job.goal, self._pricing, self._solver
                )
                self._say("mixing")
                self._found.run(budget)
                if self._found.parts is None and self._found.impossible:
                    self._relaxations = tuple(
                        shortfalls(job, self._stream, space, self._solver, budget)
                    )
                    return None
                self._say("front")
                self._others = sorted(self._alone(), key=lambda one: -one[0])[:top]
                self._front = front_of(
                    [offer for _, offer in self._others]
                    + (
                        []
                        if self._found.parts is None
                        else [scored_offer(job, self._found.parts)[1]]
                    )
                )
        except OutOfTime:
            return Stopped.TIME_LIMIT
        except KeyboardInterrupt:
            return Stopped.INTERRUPTED
        return Stopped.TIME_LIMIT if budget.late else None

    def _alone(self) -> Iterator[tuple[float, Offer]]:
        """Of every aggregated kind that was simulated and keeps the limits as many replicas as it
        takes, the fastest ones first."""
        best: dict[object, RatedReplica] = {}
        for one in self._pricing.priced:
            known = best.get(one.kind.shape)
            kept = one.role == "aggregated" and one.excess <= 1
            if kept and (known is None or one.per_s > known.per_s):
                best[one.kind.shape] = one
        rate = None if self._job.goal.objective == "throughput" else self._stream.rate_per_s
        ordered = sorted(best.values(), key=lambda one: -one.per_s / one.kind.devices)
        for one in ordered[:_FRONT_POINTS]:
            self._budget.check()
            replicas = one.kind.most if rate is None else ceil(rate / one.per_s - 1e-9)
            if replicas > one.kind.most:
                continue
            part = PoolPart(
                role="aggregated",
                group=one.kind.group,
                scenario=one.kind.scenario,
                replicas=replicas,
                clients=0.0,
                per_s=one.per_s if rate is None else rate / replicas,
            )
            try:
                scored = scored_offer(self._job, (part,))
            except RuleError:
                continue
            if not scored[1].missed:
                yield scored

    def _say(self, phase: str) -> None:
        if self._progress is not None:
            kinds, priced = len(self._space.kinds), len(self._pricing.priced)
            self._progress(ServingProgress(phase=phase, kinds=kinds, priced=priced))
