"""Kinds of replicas for requests that come at times of their own.

The program of `planner.solver.pools` chooses how many of each, for a stated rate those that cost
the least, else those that answer the most. It begins with rates that the closed form does not rule
out. What it uses is simulated at the rate that it is used at: that either holds, or it lowers the
rate of the kind. So its answer is one of simulated replicas in the end, and every program on the
way bounds all others.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, inf
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import RuleError
from planner.serving.deployment import PoolPart
from planner.serving.limits import KEPT
from planner.serving.open_deployment import open_forecast_of
from planner.serving.search.apart import apart_of
from planner.serving.search.rates import SETTLED, middle, rated_columns
from planner.solver.pools import PoolsProblem, WorkerKind, solve_pools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.budget import Budget
    from planner.serving.load.arrivals import Stream
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.search.columns import PoolSpace
    from planner.serving.search.goal import Goal
    from planner.serving.search.rates import RatedColumn, RatePricing
    from planner.solver import Solver
    from planner.solver.pools import PoolsAnswer

_ROUNDS = 400
_USED = 1e-6
_TIGHTER = (0.0, 0.005, 0.02, 0.06, 0.15)
"""Shares by which the rates of all parts are lowered where a whole plan misses a limit that each of
its parts keeps."""


class StreamSearch:
    """The best counts of all kinds. `parts`: of the best plan so far; `bound`: a score that no
    counts have; `impossible`: no counts answer the stated rate within the limits; `candidates`:
    kinds in their roles."""

    def __init__(
        self,
        space: PoolSpace,
        stream: Stream,
        load: ClosedLoad,
        goal: Goal,
        pricing: RatePricing,
        solver: Solver,
    ) -> None:
        self._space, self._stream, self._goal = space, stream, goal
        self._pricing, self._solver = pricing, solver
        self._least_per_s = None if goal.objective == "throughput" else stream.rate_per_s
        self.columns = rated_columns(space, load, goal)
        self.candidates = len(self.columns)
        self.parts: tuple[PoolPart, ...] | None = None
        self.score = -inf
        self.bound = inf if self.columns else -inf
        self.impossible = not self.columns

    def run(self, budget: Budget) -> None:
        """Raises: OutOfTime; what is known by then stays."""
        for _ in range(_ROUNDS if self.columns else 0):
            answer = self._solved(budget)
            if answer is None:
                self.impossible = self.parts is None
                break
            used = self._used(answer)
            if not any(per_s > 0 for _, _, per_s in used):
                self.impossible = self.parts is None
                break
            held = [self._holds(one, per_s, budget) for one, _, per_s in used]
            if not all(held):
                continue
            if self._keep(used):
                break
            for one, _, per_s in used:
                one.most = (1 - SETTLED) * per_s
        if self.columns:
            self._bound(budget)

    def _holds(self, one: RatedColumn, per_s: float, budget: Budget) -> bool:
        """Whether a kind keeps the limits at a rate. Where it does not, its highest rate is looked
        for until the program has something to gain from another kind."""
        budget.check()
        if per_s <= one.least * KEPT:
            return True
        if one.settled:
            one.most = one.least
            return False
        one.note(self._pricing.tried(one, per_s))
        if per_s <= one.least * KEPT:
            return True
        one.note(self._pricing.tried(one, middle(one.least, one.most)))
        return False

    def _used(self, answer: PoolsAnswer) -> list[tuple[RatedColumn, int, float]]:
        """The kinds that an answer uses, how many of each, and the rate of one. All carry the same
        share of what they could."""
        columns = self.columns
        counts = list(zip(columns, answer.counts, strict=True))
        pooled = {one.kind.group for one, count in counts if count and one.role == "decode"}
        most = sum(n * one.most for one, n in counts if one.role == "aggregated")
        flows: dict[int, float] = {}
        for group in pooled:
            written = sum(
                n * one.most
                for one, n in counts
                if one.role == "decode" and one.kind.group == group
            )
            read = sum(n * one.most for one, n in counts if one.reads_for == group)
            flows[group] = min(written, read, self._carried(counts, group))
            most += flows[group]
        share = 1.0 if self._least_per_s is None else min(1.0, self._least_per_s / most)
        used = []
        for one, count in counts:
            if not count:
                continue
            per_s = one.most
            into = one.kind.group if one.role == "decode" else one.reads_for
            if into is not None:
                if not flows.get(into):
                    continue
                alike = sum(
                    n * other.most
                    for other, n in counts
                    if (other.role, other.reads_for) == (one.role, one.reads_for)
                    and (one.role == "prefill" or other.kind.group == into)
                )
                per_s = flows[into] * one.most / alike
            used.append((one, count, share * per_s))
        return used

    def _carried(self, counts: Sequence[tuple[RatedColumn, int]], group: int) -> float:
        """Requests per second whose KV caches reach a group at most."""
        carried: dict[int, float] = {}
        for one, count in counts:
            if count and one.reads_for == group:
                sender = one.kind.group
                carried[sender] = min(carried.get(sender, inf), one.carried_per_s)
        return sum(carried.values())

    def _bound(self, budget: Budget) -> None:
        """A score that no counts have, from rates that nothing shows to be within the limits."""
        answer = self._solved(budget, beyond=True)
        self.bound = self.score if answer is None else self._score_of(answer.bound)
        self.impossible = self.impossible and answer is None

    def _keep(self, used: Sequence[tuple[RatedColumn, int, float]]) -> bool:
        """The plan, at rates that keep the limits as a whole; whether there are any."""
        for less in _TIGHTER:
            if less and self._least_per_s is not None:
                return False
            parts = tuple(
                PoolPart(
                    role=one.role,
                    group=one.kind.group,
                    scenario=one.kind.scenario,
                    replicas=count,
                    clients=0.0,
                    transfer_s=one.transfer_s,
                    per_s=per_s * (1 - less),
                )
                for one, count, per_s in used
            )
            try:
                found, kept = open_forecast_of(parts, self._stream)
            except RuleError:
                continue
            if self._goal.excess(found.ttft, found.tpot) <= KEPT:
                break
        else:
            return False
        cost = sum(
            count * one.kind.devices * self._goal.cost(one.kind.group) for one, count, _ in used
        )
        score = self._score(found.requests_per_s, float(found.devices), cost)
        if score > self.score:
            self.parts, self.score = kept, score
        return True

    def _score(self, rate: float, devices: float, cost: float) -> float:
        figures = (rate, devices, cost)
        return float(self._goal.score(*(np.array([one]) for one in figures))[0])

    def _score_of(self, bound: float) -> float:
        """The score of the program's own bound."""
        rate = self._least_per_s
        if rate is None:
            return bound
        if self._goal.objective == "devices":
            devices = float(ceil(bound - _USED))
            return self._score(rate, devices, devices)
        return rate / bound if bound > 0 else inf

    def _solved(self, budget: Budget, *, beyond: bool = False) -> PoolsAnswer | None:
        """The best counts at the rates of the columns; `beyond`: at rates that none is above."""
        columns = self.columns
        carried: dict[tuple[int, int], float] = {}
        for one in columns:
            if one.reads_for is not None:
                pair = (one.kind.group, one.reads_for)
                carried[pair] = min(carried.get(pair, inf), one.carried_per_s)
        rates = [one.beyond if beyond else one.most for one in columns]
        kept = _best_alike(columns, rates)
        problem = PoolsProblem(
            workers=tuple(self._worker(columns[at], rates[at]) for at in kept),
            rooms=self._space.rooms,
            clients=None,
            cheapest=self._least_per_s is not None,
            least_per_s=self._least_per_s,
            carried_per_s=carried,
            apart=apart_of([columns[at] for at in kept]),
        )
        answer = solve_pools(problem, self._solver, budget)
        if answer is None:
            return None
        counts = dict(zip(kept, answer.counts, strict=True))
        return replace(answer, counts=tuple(counts.get(at, 0) for at in range(len(columns))))

    def _worker(self, one: RatedColumn, per_s: float) -> WorkerKind:
        degrees = one.kind.scenario.degrees
        return WorkerKind(
            group=one.kind.group,
            stage=degrees.stage_devices,
            stages=degrees.pipeline,
            clients=np.array([0.0, 1.0]),
            rate=np.array([0.0, per_s]),
            cost=one.kind.devices * self._goal.cost(one.kind.group),
            reads_for=one.reads_for,
            continues=one.role == "decode",
        )


def _best_alike(columns: Sequence[RatedColumn], rates: Sequence[float]) -> list[int]:
    """Of columns that take the same devices in the same role and go with the same others, the one
    with the highest rate: with it no plan is worse."""
    apart = apart_of(columns)
    best: dict[tuple[object, ...], int] = {}
    for at, one in enumerate(columns):
        degrees = one.kind.scenario.degrees
        key = (
            one.kind.group,
            one.role,
            one.reads_for,
            degrees.stage_devices,
            degrees.pipeline,
            tuple(number for number, members in enumerate(apart) if at in members),
        )
        if key not in best or rates[at] > rates[best[key]]:
            best[key] = at
    return sorted(best.values())
