"""The cluster as it is after the damage."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from planner.hardware.links import hops_between
from planner.specs.cluster.segments import only
from planner.specs.cluster.slow import EVERY
from planner.specs.cluster.spec import LinkOverride

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from planner.specs.cluster.slow import Slow
    from planner.specs.cluster.spec import BandwidthMatrix, ClusterSpec, NodeGroup
    from planner.specs.device import DeviceSpec
    from planner.training.scenario import Scenario

_Factors = tuple[float, float]
"""Of the devices and of the network of a node."""


def without(cluster: ClusterSpec, lost: Collection[str]) -> ClusterSpec:
    """The cluster without some hosts. Nodes keep the switches that they are on: of the node groups,
    of the blocks of every tier and of scale-up domains, those that lost a node are listed last."""
    hosts = cluster.host_names()
    gone = {node for node, host in enumerate(hosts) if host in lost}
    if not gone:
        return cluster
    sizes = {tier.nodes for tier in cluster.tiers if tier.nodes is not None}
    sizes |= {group.scale_up.nodes for group in cluster.node_groups if group.scale_up}
    blocks = sorted((size for size in sizes if size > 1), reverse=True)
    damaged = [{node // size for node in gone} for size in blocks]
    spans, first = [], 0
    for group in cluster.node_groups:
        spans.append(range(first, first + (group.count or 0)))
        first += group.count or 0

    def place(node: int) -> tuple[tuple[bool, int], ...]:
        levels = ((node // size, hit) for size, hit in zip(blocks, damaged, strict=True))
        return tuple((level in hit, level) for level, hit in levels)

    def of_group(index: int) -> tuple[bool, int]:
        return bool(blocks) and not gone.isdisjoint(spans[index]), index

    order = sorted(range(len(spans)), key=of_group)
    kept = [node for index in order for node in sorted(spans[index], key=place) if node not in gone]
    return only(cluster, kept)


def slowed(scenario: Scenario, slow: Sequence[Slow]) -> ClusterSpec:
    """The cluster of a scenario with some devices and links at a share of their speed."""
    cluster = scenario.cluster
    index = {host: node for node, host in enumerate(cluster.host_names())}
    factors: dict[int, _Factors] = {}
    links: dict[tuple[int, int], float] = {}
    for one in slow:
        node = index[one.host]
        devices, network = factors.get(node, (1.0, 1.0))
        if one.other is None:
            factors[node] = (one.factor, network)
        elif one.other == EVERY and cluster.matrix is None:
            factors[node] = (devices, one.factor)
        elif one.other == EVERY:
            links |= {(node, to): one.factor for to in index.values() if to != node}
        else:
            links[node, index[one.other]] = one.factor
    cluster = _with_slow_links(scenario, links)
    return replace(cluster, node_groups=_with_slow_nodes(cluster.node_groups, factors))


def _with_slow_links(scenario: Scenario, links: dict[tuple[int, int], float]) -> ClusterSpec:
    cluster = scenario.cluster
    if not links:
        return cluster
    if cluster.matrix is not None:
        return replace(cluster, matrix=_with_slow_cells(cluster.matrix, links))
    topology, overrides = scenario.topology, {one.between: one for one in cluster.overrides}
    for ends, factor in links.items():
        rates, latencies = hops_between(topology.kinds, topology.fabric, np.array(ends))
        overrides.pop((ends[1], ends[0]), None)
        overrides[ends] = LinkOverride(
            between=ends,
            bandwidth_bytes_per_s=float(min(rates[0, 1], rates[1, 0])) * factor,
            latency_s=float(max(latencies[0, 1], latencies[1, 0])),
        )
    return replace(cluster, overrides=tuple(overrides.values()))


def _with_slow_cells(
    matrix: BandwidthMatrix, links: dict[tuple[int, int], float]
) -> BandwidthMatrix:
    rows = [list(row) for row in matrix.bytes_per_s]
    for (one, other), factor in links.items():
        for sender, receiver in ((one, other), (other, one)):
            cell = rows[sender][receiver]
            rows[sender][receiver] = None if cell is None else cell * factor
    return replace(matrix, bytes_per_s=tuple(map(tuple, rows)))


def _with_slow_nodes(
    groups: Sequence[NodeGroup], factors: dict[int, _Factors]
) -> tuple[NodeGroup, ...]:
    """Slow nodes become groups of their own, in the place of their nodes."""
    found, first = [], 0
    for group in groups:
        count, hosts = group.count or 0, group.hosts or ()
        of_nodes = [factors.get(first + at, (1.0, 1.0)) for at in range(count)]
        runs = groupby(range(count), key=of_nodes.__getitem__)
        parts = [(factor, list(run)) for factor, run in runs]
        for number, ((devices, network), run) in enumerate(parts):
            part = group
            if len(parts) > 1:
                named = tuple(hosts[at] for at in run)
                part = replace(group, name=f"{group.name}-{number}", count=len(run), hosts=named)
            if network < 1 and part.network is not None:
                rate = part.network.bandwidth_bytes_per_s * network
                part = replace(part, network=replace(part.network, bandwidth_bytes_per_s=rate))
            found.append(part if devices == 1 else replace(part, device=_slower(part, devices)))
        first += count
    return tuple(found)


def _slower(group: NodeGroup, factor: float) -> DeviceSpec:
    """A device with this share of every rate."""
    device = group.device

    def times(constant: object) -> object:
        scaled = constant.value * factor  # type: ignore[attr-defined]
        return constant.model_copy(update={"value": scaled})  # type: ignore[attr-defined]

    rates = {
        name: times(getattr(device.peak, name))
        for name in type(device.peak).model_fields
        if getattr(device.peak, name) is not None
    }
    memory = device.memory.model_copy(update={"bandwidth": times(device.memory.bandwidth)})
    name = f"{device.name}-at-{round(100 * factor)}-percent"
    peak = device.peak.model_copy(update=rates)
    return device.model_copy(update={"name": name, "peak": peak, "memory": memory})
