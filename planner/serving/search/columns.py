"""Kinds of replicas in their roles, with the levels at which the program of pools may use them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.serving.latency import Latency
from planner.serving.search.bounds import bounds_of
from planner.serving.search.levels import levels_of
from planner.serving.transfer import transfer_of
from planner.serving.waiting import reader_of
from planner.serving.writing import writer_of
from planner.solver.pools import WorkerKind, outer_levels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from planner.arrays import Floats
    from planner.plan.serving import Role
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.search.goal import Goal
    from planner.serving.search.job import ServingJob
    from planner.serving.search.space import ReplicaKind
    from planner.serving.transfer import PoolLinks
    from planner.solver.pools import Room

READ_SHARES = (0.0, 0.2, 0.35, 0.5, 0.6, 0.68, 0.75, 0.8, 0.84, 0.88, 0.91, 0.93, 0.95, 0.97)
"""Shares of what a reader can read, at which it is one of the program's levels."""
_HALVINGS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpace:
    """What pools may be made of. `links` by pair of groups; `disaggregated` as `Allowed` has it;
    `clients`: requests under way, None for as many as are best."""

    kinds: tuple[ReplicaKind, ...]
    rooms: tuple[Room, ...]
    links: Mapping[tuple[int, int], PoolLinks]
    disaggregated: bool | None
    clients: float | None


@dataclass(slots=True, kw_only=True, eq=False)
class Column:
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

    @property
    def outer(self) -> tuple[Floats, Floats]:
        """Levels whose mixtures are nowhere below a concave curve through all."""
        whole = float(self.kind.lanes) if self.role == "aggregated" else 0.0
        return outer_levels(self.clients, self.rate, whole=whole)

    def workers(self, goal: Goal, *, outer: bool) -> WorkerKind:
        """`outer`: with levels whose mixtures are nowhere below a concave curve through all."""
        degrees = self.kind.scenario.degrees
        clients, rate = self.clients, self.rate
        if outer:
            clients, rate = self.outer
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


def pool_space(job: ServingJob, kinds: tuple[ReplicaKind, ...]) -> PoolSpace:
    """What the pools of a search may be made of."""
    return PoolSpace(
        kinds=kinds,
        rooms=job.rooms,
        links=job.links,
        disaggregated=job.allowed.disaggregated,
        clients=job.clients,
    )


def columns_of(space: PoolSpace, load: ClosedLoad, goal: Goal) -> list[Column]:
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


def _aggregated(kind: ReplicaKind, space: PoolSpace, load: ClosedLoad, goal: Goal) -> Column:
    clients = levels_of(kind, load, space.clients)
    limit_s = goal.tpot_limit_s(uniform=load.is_uniform)
    bounds = bounds_of(kind, load, clients, tpot_limit_s=limit_s)
    kept = goal.may_keep(bounds, uniform=load.is_uniform)
    kept[1:] |= kept[:-1].copy()
    clients, rate = clients[kept], bounds.rate[kept]
    return Column(
        kind=kind, role="aggregated", clients=clients, rate=rate, exact=[False] * clients.size
    )


def _writer(kind: ReplicaKind, space: PoolSpace, load: ClosedLoad, goal: Goal) -> Column:
    writer = writer_of(kind.scenario, load)
    most = largest(
        lambda clients: goal.excess(None, Latency.same(writer.tpot_s(clients))), writer.most
    )
    levels = np.minimum(levels_of(kind, load, space.clients), most)
    clients = np.unique(np.append(levels, min(most, space.clients or most)))
    clients = clients[clients > 0]
    rate = np.array([writer.per_s(one) for one in clients.tolist()])
    return Column(kind=kind, role="decode", clients=clients, rate=rate, exact=[True] * clients.size)


def _reader(
    kind: ReplicaKind, receiver: int, links: PoolLinks, load: ClosedLoad, goal: Goal
) -> Column:
    reader = reader_of(kind.scenario, load)
    moved = transfer_of(links, kind.scenario, load, devices=kind.devices)
    most = largest(
        lambda share: goal.excess(reader.ttft(share, moved.seconds), None), READ_SHARES[-1]
    )
    shares = np.unique(np.append(np.minimum(READ_SHARES, most), most))
    rate = shares * reader.read_per_s
    waits = [reader.ttft(share, moved.seconds).mean_s for share in shares.tolist()]
    return Column(
        kind=kind,
        role="prefill",
        clients=rate * np.array(waits),
        rate=rate,
        exact=[True] * shares.size,
        reads_for=receiver,
        transfer_s=moved.seconds,
        carried_per_s=moved.carried_per_s,
    )


def carried_of(columns: Sequence[Column]) -> dict[tuple[int, int], float]:
    """What the links between pools carry, by the largest cache of those that may be sent."""
    found: dict[tuple[int, int], float] = {}
    for one in columns:
        if one.reads_for is not None:
            pair = (one.kind.group, one.reads_for)
            found[pair] = min(found.get(pair, inf), one.carried_per_s)
    return found


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
