"""How many requests per second a replica answers within the limits of a load, by simulation.

Requests come at times of their own. More of them per second never make a replica answer sooner, so
the highest rate within the limits lies between one that was simulated and keeps them, and one that
was simulated and does not, or that the closed form rules out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.serving.open_estimate import estimate_open, intensity_of
from planner.serving.search.bounds import Bounds, bounds_of
from planner.serving.search.columns import largest
from planner.serving.search.levels import levels_of
from planner.serving.transfer import transfer_of
from planner.serving.waiting import reader_of
from planner.serving.writing import writer_of

if TYPE_CHECKING:
    from planner.plan.serving import Role
    from planner.serving.estimate import ServingEstimate
    from planner.serving.load.arrivals import Stream
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.search.columns import PoolSpace
    from planner.serving.search.goal import Goal
    from planner.serving.search.space import ReplicaKind
    from planner.serving.transfer import PoolLinks

SETTLED = 0.01
"""Share of a rate within which its highest value is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedReplica:
    """A replica at a rate. `excess`: its largest latency over its limit; infinite where it does not
    keep up."""

    kind: ReplicaKind
    role: Role
    per_s: float
    excess: float
    estimate: ServingEstimate | None


@dataclass(slots=True, kw_only=True, eq=False)
class RatedColumn:
    """A kind in a role. `least` requests per second keep the limits; more than `beyond` do not, and
    `most` is what the program counts on, which is no more."""

    kind: ReplicaKind
    role: Role
    most: float
    least: float = 0.0
    beyond: float = inf
    reads_for: int | None = None
    transfer_s: float = 0.0
    carried_per_s: float = inf

    @property
    def settled(self) -> bool:
        """Whether the highest rate is known well enough."""
        return self.most - self.least <= SETTLED * self.most

    def note(self, found: RatedReplica) -> None:
        """What a simulation tells about the highest rate."""
        if found.excess <= 1:
            self.least = max(self.least, found.per_s)
        else:
            self.beyond = max(self.least, min(self.beyond, found.per_s))
            self.most = min(self.most, self.beyond)


class RatePricing:
    """Simulations of one search, each done once. `total_per_s`: requests that come in all, None
    where the search asks for the most."""

    def __init__(self, stream: Stream, goal: Goal, total_per_s: float | None) -> None:
        self._stream, self._goal, self._total_per_s = stream, goal, total_per_s
        self._known: dict[tuple[int, Role, float, float], RatedReplica] = {}
        self._highest: dict[tuple[int, Role], float] = {}

    @property
    def priced(self) -> tuple[RatedReplica, ...]:
        """Everything so far, in order."""
        return tuple(self._known.values())

    def tried(self, column: RatedColumn, per_s: float) -> RatedReplica:
        """A kind at a rate."""
        kind, role = column.kind, column.role
        key = (kind.index, role, per_s, column.transfer_s)
        if key not in self._known:
            self._known[key] = self._simulated(kind, role, per_s, column.transfer_s)
        return self._known[key]

    def _simulated(
        self, kind: ReplicaKind, role: Role, per_s: float, transfer_s: float
    ) -> RatedReplica:
        total_per_s = self._total_per_s or per_s * kind.most
        replicas = min(kind.most, max(1, round(total_per_s / per_s)))
        load = self._stream.dealt(per_s, replicas, max(total_per_s, per_s * replicas))
        if (kind.index, role) not in self._highest:
            highest_per_s = intensity_of(kind.scenario, load, role).highest_per_s / load.replicas
            self._highest[kind.index, role] = highest_per_s
        if per_s >= self._highest[kind.index, role]:
            return RatedReplica(kind=kind, role=role, per_s=per_s, excess=inf, estimate=None)
        found = estimate_open(kind.scenario, load, role)
        excess = self._goal.excess(
            None if role == "decode" else found.ttft.later(transfer_s),
            None if role == "prefill" else found.tpot,
        )
        return RatedReplica(kind=kind, role=role, per_s=per_s, excess=excess, estimate=found)


def rated_columns(space: PoolSpace, load: ClosedLoad, goal: Goal) -> list[RatedColumn]:
    """All kinds in their roles, with what the closed form leaves them."""
    found: list[RatedColumn] = []
    if space.disaggregated is not True:
        found += [_aggregated(kind, load, goal) for kind in space.kinds]
    if space.disaggregated is not False and load.output_tokens > 1:
        usual = [kind for kind in space.kinds if kind.usual]
        found += [_writer(kind, load, goal) for kind in usual]
        for (sender, receiver), links in space.links.items():
            found += [
                _reader(kind, receiver, links, load, goal) for kind in usual if kind.group == sender
            ]
    kept = [one for one in found if one.most > 0]
    for one in kept:
        one.beyond = one.most
    roles = {one.role for one in kept}
    if "decode" in roles and "prefill" in roles:
        return kept
    return [one for one in kept if one.role == "aggregated"]


def _aggregated(kind: ReplicaKind, load: ClosedLoad, goal: Goal) -> RatedColumn:
    """Requests under way vary. Where the rate of a step is a concave function of them, as the
    closed form is, it is the highest where they do not (Jensen 1906)."""
    clients = levels_of(kind, load, None)
    limit_s = goal.tpot_limit_s(uniform=load.is_uniform)
    bounds = bounds_of(kind, load, clients, tpot_limit_s=limit_s)
    kept = goal.may_keep(bounds, uniform=load.is_uniform)
    kept[1:] |= kept[:-1].copy()
    most = float(bounds.rate[kept].max()) if kept.any() and kept[0] else 0.0
    return RatedColumn(kind=kind, role="aggregated", most=most)


def _writer(kind: ReplicaKind, load: ClosedLoad, goal: Goal) -> RatedColumn:
    writer = writer_of(kind.scenario, load)
    most = largest(
        lambda clients: _excess(goal, load, ttft_s=0.0, tpot_s=writer.tpot_s(clients)), writer.most
    )
    return RatedColumn(kind=kind, role="decode", most=writer.per_s(most))


def _reader(
    kind: ReplicaKind, receiver: int, links: PoolLinks, load: ClosedLoad, goal: Goal
) -> RatedColumn:
    reader = reader_of(kind.scenario, load)
    moved = transfer_of(links, kind.scenario, load, devices=kind.devices)
    alone = _excess(goal, load, ttft_s=reader.alone_s + moved.seconds, tpot_s=0.0)
    return RatedColumn(
        kind=kind,
        role="prefill",
        most=reader.read_per_s if alone <= 1 else 0.0,
        reads_for=receiver,
        transfer_s=moved.seconds,
        carried_per_s=moved.carried_per_s,
    )


def _excess(goal: Goal, load: ClosedLoad, *, ttft_s: float, tpot_s: float) -> float:
    """At most 1 where mean latencies of at least so much may keep the limits."""
    one = Bounds(rate=np.ones(1), ttft_s=np.array([ttft_s]), tpot_s=np.array([tpot_s]))
    return 0.0 if goal.may_keep(one, uniform=load.is_uniform)[0] else inf


def middle(least: float, most: float) -> float:
    """Where to look next between two rates: in the middle, of far apart ones by logarithm."""
    return (least + most) / 2 if least > most / 4 else float(np.sqrt(max(least, most / 64) * most))
