"""A topology that no placement can improve on: every group gets the best links that the cluster has
for it.

Times and memory on it are lower bounds for every order of the nodes. Scale-up domains stay whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, inf
from typing import TYPE_CHECKING

import numpy as np

from planner.hardware.best import best_kind
from planner.hardware.fabric import Hop
from planner.hardware.links import Topology, hops_between

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.hardware.device import Device
    from planner.hardware.fabric import Fabric
    from planner.hardware.group import NodeKind, ProcessGroup, Survey


def ideal_topology(topology: Topology) -> IdealTopology | None:
    """The topology that is at least as good as every choice and order of the cluster's nodes: where
    nodes differ in size, all of its nodes are as large as the largest. None where all nodes are
    alike, and where scale-up domains differ in size, so that the order decides which ranks share
    one."""
    alone = len(topology.kinds) == 1
    alike = alone or (topology.symmetric and len(set(topology.kinds)) == 1)
    domains = {kind.domain_nodes for kind in topology.kinds}
    sizes = {kind.devices_per_node for kind in topology.kinds}
    if alike or len(domains) > 1 or (len(sizes) > 1 and domains != {1}):
        return None
    return IdealTopology(topology.kinds, topology.fabric, topology.devices, trees=topology.trees)


def _as_large(kind: NodeKind, devices_per_node: int) -> NodeKind:
    """A node with more devices like its own, and with more network cards in proportion."""
    times = devices_per_node / kind.devices_per_node
    if times == 1:
        return kind
    return replace(
        kind,
        devices_per_node=devices_per_node,
        wired_devices=ceil(kind.wired_devices * times),
        cards=ceil(kind.cards * times),
        network_bytes_per_s=kind.network_bytes_per_s * times,
    )


class IdealTopology(Topology):
    """As many equal nodes as the job has, each the best of the cluster in every respect. The
    slowest hop of a ring over n domains is as wide, and its latency as short, as any n domains of
    the cluster have it."""

    __slots__ = (
        "_narrow_tree",
        "_offers",
        "_real_kinds",
        "_tree",
        "device_of_rank",
        "real_devices",
        "sizes_differ",
    )

    def __init__(
        self, kinds: Sequence[NodeKind], fabric: Fabric, devices: int, *, trees: bool
    ) -> None:
        """`kinds`, by node, and `fabric` describe the cluster; the job takes `devices` of its
        devices."""
        sizes = [kind.devices_per_node for kind in kinds]
        largest = max(sizes)
        equal = [_as_large(kind, largest) for kind in kinds]
        nodes = ceil(devices / largest)
        super().__init__([best_kind(equal)] * nodes, fabric, range(nodes), trees=trees)
        self.devices = devices
        self.sizes_differ = len(set(sizes)) > 1
        """Whether the cluster's nodes have different numbers of devices."""
        self.uniform = True
        self.real_devices = tuple(dict.fromkeys(kind.device for kind in kinds))
        """The device types of the cluster; the ideal node has the best constant of each."""
        self._tree = self._narrow_tree = None
        if fabric.measured and len(kinds) <= _MOST_MEASURED:
            self._tree = WidestTree.of(kinds, fabric, both_ways=False)
            self._narrow_tree = WidestTree.of(kinds, fabric, both_ways=True)
        types = [self.real_devices.index(kind.device) for kind in kinds]
        self.device_of_rank = np.repeat(types, sizes)
        """For every device of the cluster, the index of its type."""
        self._offers = fabric.offers([kind.network_bytes_per_s for kind in equal])
        self._real_kinds = tuple(kinds)

    def of_type(self, device: Device) -> IdealTopology:
        """The same topology if the cluster had no devices but this type: groups among them have no
        better links. Measured links are those of the whole cluster."""
        kinds = [kind for kind in self._real_kinds if kind.device is device]
        alone = IdealTopology(kinds, self.fabric.without_measured, self.devices, trees=self.trees)
        if self.fabric.measured:
            alone.fabric, alone._offers = self.fabric, self._offers
        return alone

    @property
    def symmetric(self) -> bool:
        return True

    def stage_groups(self, size: int, stride: int, stages: int) -> tuple[ProcessGroup, ...]:
        """The groups of the first stage stand for all stages: it starts with a domain, so its
        groups span the fewest."""
        each = range(self.devices // stages)
        return (self._found((size, stride, 0, len(each)), size, stride, each, None),) * stages

    def offsets(self, count: int) -> NDArray[np.int64]:
        """The first offset only: the time of one replica is a lower bound for the slowest."""
        return np.zeros(1, dtype=np.int64)

    @property
    def cluster_kinds(self) -> tuple[NodeKind, ...]:
        return self._real_kinds

    @property
    def kind(self) -> NodeKind:
        """The one kind of node that the topology has."""
        return self.kinds[0]

    @property
    def least_latency_s(self) -> float:
        """The shortest message step between two nodes."""
        return self.fabric.least_latency_s(self.kind.network_step_s)

    def slowest_hop(self, domains: int) -> Hop:
        """The slowest hop of a ring over `domains` domains."""
        nodes = domains * self.kind.domain_nodes
        return self.fabric.best_hop(
            nodes,
            bytes_per_s=self._offers[min(nodes, len(self._offers)) - 1],
            latency_s=self.kind.network_step_s,
        )

    def outgrown_hops(self) -> tuple[Hop, ...]:
        """For every set of blocks that are each too small for the job, the best hop that leaves a
        block. Blocks are those of the tiers and, where links were measured, those that the wider
        links connect."""
        each = self.kind.domain_nodes
        hops = [
            self.slowest_hop(tier.nodes // each + 1)
            for tier in self.fabric.tiers
            if tier.nodes is not None and tier.nodes < self.nodes
        ]
        bottleneck = None if self._tree is None else self._tree.bottleneck(self.nodes)
        return tuple(hops) if bottleneck is None else (*hops, bottleneck)

    @property
    def forced_hop(self) -> Hop:
        """A hop that bounds some node of the job, whichever nodes it takes: that node cannot be
        reached and left over a wider one. Of any n nodes, one is no better than the worst of the
        best n."""
        return self.fabric.best_hop(
            2,
            bytes_per_s=self._offers[self.nodes - 1],
            latency_s=self.kind.network_step_s,
        )

    @property
    def nodes_forced(self) -> int:
        """How many nodes of the job `forced_hop` holds for, whichever nodes it takes."""
        wider = sum(offer > self._offers[self.nodes - 1] for offer in self._offers)
        return self.nodes - wider

    def forest_hop(self, columns: int) -> Hop | None:
        """A hop such that some pair of neighbours is joined by no better one, there and back, where
        the nodes of the job form `paths` disjoint paths. None where no links were measured, or
        where the paths have no links."""
        links, tree = self.nodes - columns, self._narrow_tree
        return None if tree is None or links < 1 else tree.hop(links)

    def _aligned(self, span: int, domains: int, local: int) -> Survey:
        survey = super()._aligned(span, domains, local)
        if domains > 1:
            survey.member_bytes_per_s, survey.network_step_s, survey.ring_network_s = inf, 0.0, 0.0
            self._survey_domains(domains, survey, None)
        return survey

    def _survey_ring(
        self, nodes: Sequence[int], survey: Survey, apart: int, active: int | None
    ) -> None:
        self._survey_domains(len({self._domain_of[node] for node in nodes}), survey, active)

    def _survey_domains(self, domains: int, survey: Survey, active: int | None) -> None:
        hop, each = self.slowest_hop(domains), self.kind.devices_per_node
        sharers = self.kind.sharers(min(active or each, each))
        around_s = 2 * hop.latency_s + (domains - 2) * self.least_latency_s
        survey.slow_to(hop.bytes_per_s / sharers * self.kind.network_efficiency)
        survey.network_step_s = max(survey.network_step_s, hop.latency_s)
        survey.ring_network_s = max(survey.ring_network_s, around_s)


_MOST_MEASURED = 2048
"""Largest number of nodes for which all links are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WidestTree:
    """A maximum spanning tree (Prim 1957): `edges` (bytes/s, node, node), the widest first.
    `latency_s`: the shortest of all links."""

    edges: tuple[tuple[float, int, int], ...]
    latency_s: float

    @classmethod
    def of(cls, kinds: Sequence[NodeKind], fabric: Fabric, *, both_ways: bool) -> WidestTree:
        """Build it from the narrower direction of every link (`both_ways`), or from the wider
        one."""
        rates, latency_s = hops_between(kinds, fabric, np.arange(len(kinds)))
        widest = np.minimum(rates, rates.T) if both_ways else np.maximum(rates, rates.T)
        best, near = widest[0].copy(), np.zeros(len(kinds), dtype=np.int64)
        open_ = np.ones(len(kinds), dtype=np.bool_)
        open_[0] = False
        edges = []
        for _ in range(len(kinds) - 1):
            node = int(np.where(open_, best, -1.0).argmax())
            edges.append((float(best[node]), int(near[node]), node))
            open_[node] = False
            wider = open_ & (widest[node] > best)
            best[wider], near[wider] = widest[node][wider], node
        return cls(edges=tuple(sorted(edges, reverse=True)), latency_s=float(latency_s.min()))

    def hop(self, links: int) -> Hop:
        """A hop such that any forest with `links` links has one no wider: in a graphic matroid, the
        k-th widest edge of a forest is no wider than that of a maximum spanning tree (Kruskal
        1956)."""
        return Hop(bytes_per_s=self.edges[links - 1][0], latency_s=self.latency_s)

    def bottleneck(self, nodes: int) -> Hop | None:
        """A bandwidth such that any `nodes` connected nodes use at least one link of it, or a
        narrower one: that of the edge with which some part of the tree first reaches this size.
        None for one node."""
        parts = [{node} for node in range(len(self.edges) + 1)]
        for bytes_per_s, one, two in self.edges:
            joined = parts[one] | parts[two]
            for node in joined:
                parts[node] = joined
            if len(joined) >= nodes > 1:
                return Hop(bytes_per_s=bytes_per_s, latency_s=self.latency_s)
        return None


class SlowedTopology(IdealTopology):
    """The ideal topology with one slow hop in every ring between domains, and in every pair of
    ranks in different domains."""

    __slots__ = ("_ideal", "_slowest", "_stride")

    def __init__(self, ideal: IdealTopology, hop: Hop, *, stride: int | None = None) -> None:
        """`stride`: only groups whose ranks lie this far apart are slowed."""
        Topology.__init__(self, ideal.kinds, ideal.fabric, ideal.order, trees=ideal.trees)
        self.uniform = True
        self.real_devices, self.device_of_rank = ideal.real_devices, ideal.device_of_rank
        self.devices, self.sizes_differ = ideal.devices, ideal.sizes_differ
        self._real_kinds, self._offers = ideal._real_kinds, ideal._offers
        self._tree, self._narrow_tree = ideal._tree, ideal._narrow_tree
        self._ideal, self._slowest, self._stride = ideal, hop, stride

    def slowest_hop(self, domains: int) -> Hop:
        return self._slowest

    def group(self, size: int, stride: int, *, device: Device | None = None) -> ProcessGroup:
        if self._stride not in (None, stride):
            return self._ideal.group(size, stride, device=device)
        return super().group(size, stride, device=device)

    def stage_groups(self, size: int, stride: int, stages: int) -> tuple[ProcessGroup, ...]:
        if self._stride not in (None, stride):
            return self._ideal.stage_groups(size, stride, stages)
        return super().stage_groups(size, stride, stages)
