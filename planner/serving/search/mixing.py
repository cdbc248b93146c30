"""Kinds of replicas together: aggregated ones, and pools that read prompts for pools that write.

The program of `planner.solver.pools` chooses how many of each. Aggregated kinds enter it with
bounds, which are replaced by simulations where the program uses them, until it uses none: its
answer is then one of simulated replicas, and its bound holds for all kinds at their levels. What it
chose is priced as a whole. Where that misses a limit, the program is solved again with tighter
limits; the bound stays that of the limits as they are. Kinds with which no plan can be better than
one that is known, by a bound in closed form, are left out of it.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, inf, isfinite
from typing import TYPE_CHECKING

import numpy as np

from planner.serving.deployment import PoolPart, forecast_of
from planner.serving.limits import KEPT
from planner.serving.search.apart import apart_of
from planner.serving.search.columns import carried_of, columns_of
from planner.serving.search.relaxed import Relaxation, relaxed_bound
from planner.serving.search.simulated import simulate
from planner.serving.search.tightening import tighten
from planner.solver.pools import WITHIN, PoolsProblem, solve_pools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.budget import Budget
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.search.columns import Column, PoolSpace
    from planner.serving.search.goal import Goal
    from planner.serving.search.pricing import Pricing
    from planner.solver import Solver
    from planner.solver.pools import PoolsAnswer

_ROUNDS = 60
_USED = 1e-6
_SAME = 1e-6
"""Share by which a ratio's program may be better than its answer."""
_MANY = 150
"""Columns above which the program that gives the bound is only solved within `_BOUND_WITHIN`: its
bound is known long before counts that reach it are found."""
_BOUND_WITHIN = 0.01
_TIGHTER = (0.002, 0.01, 0.03, 0.1)
"""Shares by which limits are tightened beyond what was missed, one after the other."""


class MixedSearch:
    """The best counts of all kinds together. `parts`: of the best plan so far that keeps the
    limits, whose score is `score`; `bound`: a score that no counts have, which is known from the
    start; `impossible`: no counts keep the limits."""

    def __init__(
        self, space: PoolSpace, load: ClosedLoad, goal: Goal, pricing: Pricing, solver: Solver
    ) -> None:
        self._space, self._load, self._goal = space, load, goal
        self._pricing, self._solver = pricing, solver
        self._columns = columns_of(space, load, goal)
        self.parts: tuple[PoolPart, ...] | None = None
        self.score = self._floor = -inf
        self.bound = relaxed_bound(self._columns, space, goal) if self._columns else -inf
        self.impossible = not self._columns

    def run(self, budget: Budget, floor: float | None = None) -> None:
        """`floor`: a score that is known already. Raises: OutOfTime; what is known by then
        stays."""
        columns, goal = self._columns, self._goal
        if not columns:
            return
        self._floor = -inf if floor is None else floor
        if goal.objective != "devices":
            aim = max(self._pools_alone(columns, budget), self._known)
            if isfinite(aim):
                tighten(columns, self._space, goal, self._pricing, aim, budget)
        theta, rate = self._best(columns, goal, budget, floor)
        if self.impossible:
            self.bound = -inf
            return
        self.bound = min(self.bound, self._bound(budget, theta, rate))
        for more in _TIGHTER:
            if self.parts is not None or not self._hopeful(columns, outer=False):
                break
            goal = replace(goal, tightness=goal.tightness * max(1.0, self._excess) + more)
            columns = columns_of(self._space, self._load, goal)
            if columns:
                self._best(columns, goal, budget, floor, theta)

    def _best(
        self,
        columns: Sequence[Column],
        goal: Goal,
        budget: Budget,
        floor: float | None,
        theta: float = 0.0,
    ) -> tuple[float, float]:
        """Solves the program with levels that keep the limits of `goal`, and keeps the best plan
        met on the way. `theta`: a guess of the worth of a unit of cost. The last such worth, and
        requests per second."""
        first = floor or 0.0 if goal.by_ratio else 0.0
        theta, rate, most_devices = theta or first, 0.0, None
        self._excess = 1.0
        for _ in range(_ROUNDS):
            answer = self._solved(columns, budget, theta, rate, most_devices)
            if answer is None:
                if most_devices is None:
                    known = isfinite(self._known)
                    self.impossible = columns is self._columns and not rate and not known
                    break
                most_devices = None
                continue
            if self._priced(columns, answer, goal):
                continue
            if goal.objective == "devices" and most_devices is None:
                most_devices = round(answer.value)
                continue
            rate, cost = _totals(columns, answer, goal)
            parts = _parts_of(columns, answer)
            kept = self._keep(parts)
            if goal.by_ratio and abs(rate - theta * cost) > _SAME * rate:
                theta = rate / cost
                continue
            if goal.by_ratio and not cost and theta > first:
                theta = first
                continue
            loose = [
                one
                for one, count in zip(columns, answer.counts, strict=True)
                if count and not one.adjacent
            ]
            if kept or not loose:
                break
            for one in loose:
                one.adjacent = True
            most_devices = None
        return theta, rate

    def _pools_alone(self, columns: Sequence[Column], budget: Budget) -> float:
        """The score of the best pools without aggregated replicas, of which all levels are known,
        where they would not have to keep the limits as a whole."""
        pools = [one for one in columns if one.role != "aggregated"]
        by_ratio = self._goal.by_ratio
        theta = self._known if by_ratio and isfinite(self._known) else 0.0
        answer = self._solved(pools, budget, theta, 0.0, None)
        if answer is None or not any(answer.counts):
            return -inf
        self._keep(_parts_of(pools, answer))
        return -inf if by_ratio else answer.value

    def _keep(self, parts: tuple[PoolPart, ...]) -> bool:
        """Whether a plan keeps the limits; the best one that does is kept."""
        goal = self._goal
        found, _ = forecast_of(parts, self._load)
        self._excess = goal.excess(found.ttft, found.tpot)
        if self._excess > KEPT:
            return False
        cost = sum(
            part.replicas * part.scenario.degrees.devices * goal.cost(part.group) for part in parts
        )
        figures = (found.requests_per_s, float(found.devices), cost)
        score = float(goal.score(*(np.array([one]) for one in figures))[0])
        if score > self.score:
            self.parts, self.score = parts, score
        return True

    def _bound(self, budget: Budget, theta: float, known_rate: float) -> float:
        """A score that none has, whatever the requests of a replica between its levels: from the
        program's bound of requests per second, of devices, or of requests per second less `theta`
        times the cost, with the `theta` at which that is next to nothing (Dinkelbach 1967)."""
        columns, goal = self._columns, self._goal
        least = min(one.kind.devices * goal.cost(one.kind.group) for one in columns)
        beyond = inf
        for _ in range(_ROUNDS):
            answer = self._solved(columns, budget, theta, known_rate, None, outer=True)
            if answer is None:
                return self._known if isfinite(self._known) else inf
            beyond = max(0.0, answer.bound) / least
            if goal.objective == "devices":
                return 1.0 - _USED - ceil(answer.bound - _USED)
            if not goal.by_ratio:
                return max(self._known, answer.bound)
            cost = sum(
                count * one.kind.devices * goal.cost(one.kind.group)
                for count, one in zip(answer.counts, columns, strict=True)
            )
            if not cost or answer.value <= _USED * known_rate:
                break
            theta += answer.value / cost
        return max(self._known, theta + beyond)

    @property
    def _known(self) -> float:
        """The score of the best plan so far."""
        return max(self._floor, self.score)

    def _hopeful(self, columns: Sequence[Column], *, outer: bool) -> list[int]:
        """Columns with which a plan may be better than the best one so far."""
        known, goal = self._known, self._goal
        if not isfinite(known) or goal.objective == "devices":
            return list(range(len(columns)))
        theta, least = (known, 0.0) if goal.by_ratio else (0.0, known)
        bounds = Relaxation(columns, self._space, goal, theta=theta, outer=outer)
        return [at for at in range(len(columns)) if bounds.with_column(at)[0] > least]

    def _solved(
        self,
        columns: Sequence[Column],
        budget: Budget,
        theta: float,
        known_rate: float,
        most_devices: int | None,
        outer: bool = False,
    ) -> PoolsAnswer | None:
        goal, hopeful = self._goal, self._hopeful(columns, outer=outer)
        kept = [columns[at] for at in hopeful]
        if not kept:
            return None
        problem = PoolsProblem(
            workers=tuple(one.workers(goal, outer=outer) for one in kept),
            rooms=self._space.rooms,
            clients=self._space.clients,
            theta=theta,
            known_rate=known_rate,
            cheapest=goal.objective == "devices" and most_devices is None,
            most_devices=most_devices,
            carried_per_s=carried_of(kept),
            apart=apart_of(kept),
        )
        within = _BOUND_WITHIN if outer and len(kept) > _MANY else WITHIN
        answer = solve_pools(problem, self._solver, budget, within=within)
        return None if answer is None else _of_all(answer, hopeful, columns)

    def _priced(self, columns: Sequence[Column], answer: PoolsAnswer, goal: Goal) -> bool:
        """Simulates the levels that the answer uses and that were not yet, with those of kinds that
        divide a layer alike; whether there were any."""
        used = [
            (one.divided, held / one.kind.lanes)
            for one, count, shares in zip(columns, answer.counts, answer.shares, strict=True)
            if count
            for held, known, z in zip(one.clients.tolist(), one.exact, shares, strict=True)
            if z > _USED and not known
        ]
        for divided, each in used:
            for one in columns:
                if one.divided == divided and one.role == "aggregated" and one.clients.size:
                    simulate(one, each * one.kind.lanes, goal, self._pricing)
        return bool(used)


def _of_all(answer: PoolsAnswer, used: Sequence[int], columns: Sequence[Column]) -> PoolsAnswer:
    """The answer with the columns that were left out, of which it has none."""
    counts = dict(zip(used, answer.counts, strict=True))
    shares = dict(zip(used, answer.shares, strict=True))
    return replace(
        answer,
        counts=tuple(counts.get(at, 0) for at in range(len(columns))),
        shares=tuple(shares.get(at, np.zeros(one.rate.size)) for at, one in enumerate(columns)),
    )


def _totals(columns: Sequence[Column], answer: PoolsAnswer, goal: Goal) -> tuple[float, float]:
    """Requests per second, and what all devices cost."""
    rate = cost = 0.0
    for one, count, shares in zip(columns, answer.counts, answer.shares, strict=True):
        cost += count * one.kind.devices * goal.cost(one.kind.group)
        if one.role != "prefill":
            rate += float(shares @ one.rate)
    return rate, cost


def _parts_of(columns: Sequence[Column], answer: PoolsAnswer) -> tuple[PoolPart, ...]:
    parts = []
    for one, count, shares in zip(columns, answer.counts, answer.shares, strict=True):
        if count:
            parts.append(
                PoolPart(
                    role=one.role,
                    group=one.kind.group,
                    scenario=one.kind.scenario,
                    replicas=count,
                    clients=float(shares @ one.clients) / count,
                    transfer_s=one.transfer_s,
                )
            )
    return tuple(parts)
