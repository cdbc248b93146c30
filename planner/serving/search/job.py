"""What a search for serving plans is given, and where it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.serving.domain import fast_domain
from planner.serving.transfer import links_between
from planner.solver.pools import Room

if TYPE_CHECKING:
    from planner.serving.load.arrivals import Stream
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.search.goal import Goal
    from planner.serving.search.space import Allowed
    from planner.serving.transfer import PoolLinks
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.engine import EngineProfile
    from planner.specs.model.spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingJob:
    """What is searched. `load`: lengths and rounds of the requests; `clients`: requests under way,
    None for as many as are best. `stream`: the requests, where they come at times of their own.
    `cluster` has all counts; `devices`: of its only node, where not all are used."""

    cluster: ClusterSpec
    model: ModelSpec
    engine: EngineProfile
    load: ClosedLoad
    clients: float | None
    goal: Goal
    allowed: Allowed
    devices: int | None = None
    stream: Stream | None = None

    @property
    def rooms(self) -> tuple[Room, ...]:
        """Devices of every group."""
        sizes = [(group.count or 0) * group.devices_per_node for group in self.cluster.node_groups]
        return tuple(
            Room(devices=min(size, self.devices or size), block=fast_domain(group).devices)
            for size, group in zip(sizes, self.cluster.node_groups, strict=True)
        )

    @property
    def links(self) -> dict[tuple[int, int], PoolLinks]:
        """Between all groups that a KV cache may travel between."""
        found, groups = {}, self.cluster.node_groups
        for one, sender in enumerate(groups):
            for other, receiver in enumerate(groups):
                alone = one == other and sender.count == 1
                if alone or (sender.network is not None and receiver.network is not None):
                    found[one, other] = links_between(self.cluster, one, other)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingProgress:
    """Where a search is: what it does, kinds of replicas, and simulations so far."""

    phase: str
    kinds: int
    priced: int
