"""Equal replicas: of every kind the best number, or the best load, best bound first.

A kind's settings are ordered so that each one answers sooner than the one before: more replicas for
the same requests, or fewer requests for the same replicas. So the settings that keep the limits
are those from some setting on, which halving finds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from planner.serving.search.bounds import bounds_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats
    from planner.budget import Budget
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.search.goal import Goal
    from planner.serving.search.levels import ReplicaSettings
    from planner.serving.search.pricing import PricedReplicas, Pricing
    from planner.serving.search.space import ReplicaKind


_CLOSEST = 3
"""Plans that miss the limits by least, as many as are shown."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Candidate:
    """A kind with the scores of its settings at most, and the first setting that may keep the
    limits."""

    kind: ReplicaKind
    settings: ReplicaSettings
    scores: Floats
    first: int
    best: PricedReplicas | None = None
    """Of the settings that were priced."""
    known: set[int] = field(default_factory=set)

    def top(self) -> int | None:
        """The setting that may be the best of those not priced."""
        left = [at for at in range(self.first, len(self.scores)) if at not in self.known]
        if not left:
            return None
        return left[int(np.argmax(self.scores[left]))]


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualReplicas:
    """The best of each kind, best first; `bound`: no setting has a higher score; `closest`: those
    that miss the limits by least, where none keeps them."""

    found: tuple[PricedReplicas, ...]
    bound: float
    closest: tuple[PricedReplicas, ...]
    candidates: int


NOTHING = EqualReplicas(found=(), bound=float("-inf"), closest=(), candidates=0)


class EqualSearch:
    """The `top` kinds, each with its best setting."""

    def __init__(
        self,
        kinds: Sequence[ReplicaKind],
        load: ClosedLoad,
        goal: Goal,
        pricing: Pricing,
        *,
        top: int,
    ) -> None:
        self._pricing, self._top = pricing, top
        self._candidates = [_candidate(kind, load, goal, pricing) for kind in kinds]
        self._queue: list[tuple[float, int, int]] = []
        for at, one in enumerate(self._candidates):
            _queue(self._queue, at, one)
        self._found: dict[object, PricedReplicas] = {}
        self._closest: list[PricedReplicas] = []
        self._open = -np.inf if not self._queue else -self._queue[0][0]

    @property
    def result(self) -> EqualReplicas:
        """What is known so far."""
        ordered = sorted(self._found.values(), key=_order)
        bound = max([self._open, *(one.score for one in ordered[:1])])
        near = sorted(self._closest, key=lambda one: (one.excess, one.kind.index))
        return EqualReplicas(
            found=tuple(ordered),
            bound=float(bound),
            closest=tuple(near[:_CLOSEST]),
            candidates=sum(len(one.scores) for one in self._candidates),
        )

    def run(self, budget: Budget) -> None:
        """Prices settings until none is left that may be better. Where that ends early, whatever
        ends it, `result` has a bound of what is left."""
        queue, found = self._queue, self._found
        while queue:
            score = -queue[0][0]
            ranked = sorted((one.score for one in found.values()), reverse=True)
            if len(ranked) >= self._top and score <= ranked[self._top - 1]:
                break
            self._open = score
            if budget.late:
                return
            _, at, setting = heappop(queue)
            one = self._candidates[at]
            if setting < one.first:
                _queue(queue, at, one)
                continue
            priced = self._pricing.replicas(one.kind, one.settings, setting)
            one.known.add(setting)
            if priced.excess <= 1:
                _keep(found, priced)
            else:
                self._closest.append(_first_that_keeps(one, setting, self._pricing, found))
            _queue(queue, at, one)
        self._open = -np.inf


def _order(one: PricedReplicas) -> tuple[float, int, int]:
    """The best first; of equal ones that with fewer stages."""
    return -one.score, one.kind.scenario.degrees.pipeline, one.kind.index


def _candidate(kind: ReplicaKind, load: ClosedLoad, goal: Goal, pricing: Pricing) -> _Candidate:
    settings = pricing.settings(kind)
    limit_s = goal.tpot_limit_s(uniform=load.is_uniform)
    bounds = bounds_of(kind, load, settings.clients, tpot_limit_s=limit_s)
    devices = settings.replicas * float(kind.devices)
    rate = settings.replicas * bounds.rate
    scores = goal.score(rate, devices, devices * goal.cost(kind.group))
    kept = goal.may_keep(bounds, uniform=load.is_uniform)
    first = int(np.argmax(kept)) if kept.any() else len(scores) - 1
    return _Candidate(kind=kind, settings=settings, scores=scores, first=first)


def _queue(queue: list[tuple[float, int, int]], at: int, one: _Candidate) -> None:
    setting = one.top()
    if setting is not None:
        heappush(queue, (-float(one.scores[setting]), at, setting))


def _keep(found: dict[object, PricedReplicas], priced: PricedReplicas) -> None:
    """The better one of the same degrees and formats."""
    key = priced.kind.shape
    if key not in found or priced.score > found[key].score:
        found[key] = priced


def _first_that_keeps(
    one: _Candidate, missed: int, pricing: Pricing, found: dict[object, PricedReplicas]
) -> PricedReplicas:
    """Moves `first` behind the settings that miss the limits; the closest of those priced."""
    low, high = missed, len(one.scores)
    closest = pricing.replicas(one.kind, one.settings, missed)
    while high - low > 1:
        middle = (low + high) // 2
        priced = pricing.replicas(one.kind, one.settings, middle)
        one.known.add(middle)
        closest = min(closest, priced, key=lambda this: this.excess)
        if priced.excess <= 1:
            _keep(found, priced)
            high = middle
        else:
            low = middle
    one.first = low + 1
    return closest
