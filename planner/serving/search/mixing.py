"""Kinds of replicas together: aggregated ones, and pools that read prompts for pools that write.

The program of `planner.solver.pools` chooses how many of each. Aggregated kinds enter it with
bounds, which are replaced by simulations where the program uses them, until it uses none: its
answer is then one of simulated replicas, and its bound holds for all kinds at their levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf
from typing import TYPE_CHECKING

import numpy as np

from planner.serving.deployment import PoolPart, forecast_of
from planner.serving.latency import Latency
from planner.serving.limits import KEPT
from planner.serving.search.bounds import bounds_of
from planner.serving.search.levels import levels_of
from planner.serving.transfer import transfer_of
from planner.serving.waiting import reader_of
from planner.serving.writing import writer_of
from planner.solver.pools import PoolsProblem, WorkerKind, outer_levels, solve_pools

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from planner.arrays import Floats
    from planner.budget import Budget
    from planner.plan.serving import Role
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.search.goal import Goal
    from planner.serving.search.pricing import Pricing
    from planner.serving.search.space import ReplicaKind
    from planner.serving.transfer import PoolLinks
    from planner.solver import Solver
    from planner.solver.pools import PoolsAnswer, Room

READ_SHARES = (0.0, 0.2, 0.35, 0.5, 0.6, 0.68, 0.75, 0.8, 0.84, 0.88, 0.91, 0.93, 0.95, 0.97)
"""Shares of what a reader can read, at which it is one of the program's levels."""
_ROUNDS = 60
_HALVINGS = 40
_USED = 1e-6
_SAME = 1e-6
"""Share by which a ratio's program may be better than its answer."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Column:
    """A kind in a role, with its levels. `exact`: levels that were simulated."""

    kind: ReplicaKind
    role: Role
    clients: Floats
    rate: Floats
    exact: list[bool]
    reads_for: int | None = None
    transfer_s: float = 0.0
    carried_per_s: float = inf
    adjacent: bool = False

    @property
    def divided(self) -> tuple[object, ...]:
        """How one layer is divided, where."""
        degrees, formats = self.kind.scenario.degrees, self.kind.shape[2:]
        return self.kind.group, degrees.tensor, degrees.attention_data, degrees.expert, formats

    def workers(self, goal: Goal, *, outer: bool) -> WorkerKind:
        """`outer`: with levels whose mixtures are nowhere below a concave curve through all."""
        degrees = self.kind.scenario.degrees
        clients, rate = self.clients, self.rate
        if outer:
            clients, rate = outer_levels(clients, rate)
        return WorkerKind(
            group=self.kind.group,
            stage=degrees.stage_devices,
            stages=degrees.pipeline,
            clients=clients,
            rate=rate,
            cost=self.kind.devices * goal.cost(self.kind.group),
            reads_for=self.reads_for,
            continues=self.role == "decode",
            adjacent=self.adjacent and not outer,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedReplicas:
    """The parts that the program chose, and a score that no counts have."""

    parts: tuple[PoolPart, ...]
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpace:
    """What pools may be made of. `links` by pair of groups; `disaggregated` as `Allowed` has it;
    `clients`: requests under way, None for as many as are best."""

    kinds: tuple[ReplicaKind, ...]
    rooms: tuple[Room, ...]
    links: Mapping[tuple[int, int], PoolLinks]
    disaggregated: bool | None
    clients: float | None


def best_mixed(
    space: PoolSpace,
    load: ClosedLoad,
    goal: Goal,
    pricing: Pricing,
    solver: Solver,
    *,
    budget: Budget,
    floor: float | None = None,
) -> MixedReplicas | None:
    """The best counts of all kinds together. `floor`: a score that is known already; nothing is
    found where none is better. Raises: OutOfTime."""
    columns = _columns(space, load, goal)
    if not columns:
        return None
    theta = floor or 0.0 if goal.by_ratio else 0.0
    most_devices, rate = None, 0.0
    for _ in range(_ROUNDS):
        answer = _solved(columns, space, goal, solver, budget, theta, rate, most_devices)
        if answer is None:
            if most_devices is None:
                return None
            most_devices = None
            continue
        if _priced(columns, answer, pricing):
            continue
        if goal.objective == "devices" and most_devices is None:
            most_devices = round(answer.value)
            continue
        rate, cost = _totals(columns, answer, goal)
        if goal.by_ratio and cost and rate - theta * cost > _SAME * rate:
            theta = rate / cost
            continue
        parts = _parts_of(columns, answer)
        forecast, _ = forecast_of(parts, load)
        if goal.excess(forecast.ttft, forecast.tpot) > KEPT and not all(
            one.adjacent for one in columns
        ):
            for one in columns:
                one.adjacent = True
            theta = floor or 0.0 if goal.by_ratio else 0.0
            most_devices = None
            continue
        bound = _bound(columns, space, goal, solver, budget, theta, rate)
        return MixedReplicas(parts=parts, bound=bound)
    return None


def _bound(
    columns: Sequence[_Column],
    space: PoolSpace,
    goal: Goal,
    solver: Solver,
    budget: Budget,
    theta: float,
    known_rate: float,
) -> float:
    """A score that none has, whatever the requests of a replica between its levels: from the
    program's bound of requests per second, of devices, or of requests per second less `theta` times
    the cost, with the `theta` at which that is next to nothing (Dinkelbach 1967)."""
    least = min(one.kind.devices * goal.cost(one.kind.group) for one in columns)
    beyond = inf
    for _ in range(_ROUNDS):
        answer = _solved(columns, space, goal, solver, budget, theta, known_rate, None, outer=True)
        if answer is None:
            return inf
        beyond = max(0.0, answer.bound) / least
        if goal.objective == "devices":
            return 1.0 - _USED - ceil(answer.bound - _USED)
        if not goal.by_ratio:
            return answer.bound
        cost = sum(
            count * one.kind.devices * goal.cost(one.kind.group)
            for count, one in zip(answer.counts, columns, strict=True)
        )
        if not cost or answer.value <= _USED * known_rate:
            break
        theta += answer.value / cost
    return theta + beyond


def _solved(
    columns: Sequence[_Column],
    space: PoolSpace,
    goal: Goal,
    solver: Solver,
    budget: Budget,
    theta: float,
    known_rate: float,
    most_devices: int | None,
    outer: bool = False,
) -> PoolsAnswer | None:
    problem = PoolsProblem(
        workers=tuple(one.workers(goal, outer=outer) for one in columns),
        rooms=space.rooms,
        clients=space.clients,
        theta=theta,
        known_rate=known_rate,
        fewest_devices=goal.objective == "devices" and most_devices is None,
        most_devices=most_devices,
        carried_per_s=_carried(columns),
    )
    return solve_pools(problem, solver, budget)


def _columns(space: PoolSpace, load: ClosedLoad, goal: Goal) -> list[_Column]:
    found = []
    if space.disaggregated is not True:
        found += [_aggregated(kind, space, load, goal) for kind in space.kinds]
    if space.disaggregated is not False and load.rounds > 1 and load.output_tokens > 1:
        usual = [kind for kind in space.kinds if kind.usual]
        found += [_writer(kind, space, load, goal) for kind in usual]
        for (sender, receiver), links in space.links.items():
            for kind in usual:
                if kind.group == sender:
                    found.append(_reader(kind, receiver, links, load, goal))
    kept = [one for one in found if one.clients.size and one.rate.max() > 0]
    roles = {one.role for one in kept}
    if "decode" in roles and "prefill" in roles:
        return kept
    return [one for one in kept if one.role == "aggregated"]


def _aggregated(kind: ReplicaKind, space: PoolSpace, load: ClosedLoad, goal: Goal) -> _Column:
    clients = levels_of(kind, load, space.clients)
    bounds = bounds_of(kind, load, clients)
    kept = goal.may_keep(bounds, uniform=load.is_uniform)
    kept[1:] |= kept[:-1].copy()
    clients, rate = clients[kept], bounds.rate[kept]
    return _Column(
        kind=kind, role="aggregated", clients=clients, rate=rate, exact=[False] * clients.size
    )


def _writer(kind: ReplicaKind, space: PoolSpace, load: ClosedLoad, goal: Goal) -> _Column:
    writer = writer_of(kind.scenario, load)
    most = largest(
        lambda clients: goal.excess(None, Latency.same(writer.tpot_s(clients))), writer.most
    )
    levels = np.minimum(levels_of(kind, load, space.clients), most)
    clients = np.unique(np.append(levels, min(most, space.clients or most)))
    clients = clients[clients > 0]
    rate = np.array([writer.per_s(one) for one in clients.tolist()])
    return _Column(
        kind=kind, role="decode", clients=clients, rate=rate, exact=[True] * clients.size
    )


def _reader(
    kind: ReplicaKind, receiver: int, links: PoolLinks, load: ClosedLoad, goal: Goal
) -> _Column:
    reader = reader_of(kind.scenario, load)
    moved = transfer_of(links, kind.scenario, load, devices=kind.devices)
    most = largest(
        lambda share: goal.excess(reader.ttft(share, moved.seconds), None), READ_SHARES[-1]
    )
    shares = np.unique(np.append(np.minimum(READ_SHARES, most), most))
    rate = shares * reader.read_per_s
    waits = [reader.ttft(share, moved.seconds).mean_s for share in shares.tolist()]
    return _Column(
        kind=kind,
        role="prefill",
        clients=rate * np.array(waits),
        rate=rate,
        exact=[True] * shares.size,
        reads_for=receiver,
        transfer_s=moved.seconds,
        carried_per_s=moved.carried_per_s,
    )


def _carried(columns: Sequence[_Column]) -> dict[tuple[int, int], float]:
    """What the links between pools carry, by the largest cache of those that may be sent."""
    found: dict[tuple[int, int], float] = {}
    for one in columns:
        if one.reads_for is not None:
            pair = (one.kind.group, one.reads_for)
            found[pair] = min(found.get(pair, inf), one.carried_per_s)
    return found


def _priced(columns: Sequence[_Column], answer: PoolsAnswer, pricing: Pricing) -> bool:
    """Simulates the kinds that the answer uses and that were not yet, with those that divide a
    layer alike; whether there were any."""
    used = {
        one.divided
        for one, count, shares in zip(columns, answer.counts, answer.shares, strict=True)
        if count and not all(known for known, z in zip(one.exact, shares, strict=True) if z > _USED)
    }
    for one in columns:
        if one.divided in used and not all(one.exact):
            _simulate(one, pricing)
    return bool(used)


def _simulate(one: _Column, pricing: Pricing) -> None:
    """Every level, as long as the limits are kept, and the largest number of requests that still
    keeps them."""
    clients, rate = one.clients.tolist(), []
    for at, held in enumerate(clients):
        priced = pricing.price(one.kind, 1, held)
        if priced.excess > 1:
            low, high = (clients[at - 1] if at else 0.0), held
            del clients[at:]
            step = float(one.kind.lanes)
            while high - low > step:
                middle = low + step * ((high - low) // (2 * step) or 1)
                tried = pricing.price(one.kind, 1, middle)
                if tried.excess > 1:
                    high = middle
                else:
                    low = middle
                    clients.append(middle)
                    rate.append(tried.per_s)
            break
        rate.append(priced.per_s)
    one.clients, one.rate = np.array(clients), np.array(rate)
    one.exact = [True] * len(clients)


def largest(excess: Callable[[float], float], most: float) -> float:
    """The largest number up to `most` at which an ascending excess is at most 1; 0 where there is
    none."""
    if excess(most) <= 1:
        return most
    low, high = 0.0, most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if excess(middle) <= 1:
            low = middle
        else:
            high = middle
    return low


def _totals(columns: Sequence[_Column], answer: PoolsAnswer, goal: Goal) -> tuple[float, float]:
    """Requests per second, and what all devices cost."""
    rate = cost = 0.0
    for one, count, shares in zip(columns, answer.counts, answer.shares, strict=True):
        cost += count * one.kind.devices * goal.cost(one.kind.group)
        if one.role != "prefill":
            rate += float(shares @ one.rate)
    return rate, cost


def _parts_of(columns: Sequence[_Column], answer: PoolsAnswer) -> tuple[PoolPart, ...]:
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
