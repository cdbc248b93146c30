"""How the KV cache of a prompt reaches the replica that continues it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.hardware.fabric import fabric_from_spec
from planner.serving.layer.attention import kv_bytes_per_token

if TYPE_CHECKING:
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.scenario import ServingScenario
    from planner.specs.cluster.spec import ClusterSpec, NodeGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Between two groups. `seconds` that a request waits for it; `carried_per_s`: requests that all
    links together carry."""

    seconds: float
    carried_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLinks:
    """Between the nodes of two groups: bytes/s of one device at either end, of all of them, and the
    latency of a message."""

    device_bytes_per_s: float
    all_bytes_per_s: float
    latency_s: float


def links_between(cluster: ClusterSpec, sender: int, receiver: int) -> PoolLinks:
    """The slowest link between a node of one group and a node of the other; inside the only node of
    a group its fabric. Groups are indices into a cluster whose counts are known."""
    groups = cluster.node_groups
    one, other = groups[sender], groups[receiver]
    first = [sum(group.count or 0 for group in groups[:at]) for at in range(len(groups))]
    if sender == receiver and one.count == 1:
        inside = one.intra_node
        return PoolLinks(
            device_bytes_per_s=inside.bandwidth_bytes_per_s,
            all_bytes_per_s=inside.bandwidth_bytes_per_s * one.devices_per_node,
            latency_s=inside.latency_s or 0.0,
        )
    assert one.network is not None
    assert other.network is not None
    fabric = fabric_from_spec(cluster)
    cards = min(one.network.node_bytes_per_s, other.network.node_bytes_per_s)
    latency_s = max(one.network.latency_s or 0.0, other.network.latency_s or 0.0)
    last = first[receiver] + (other.count or 1) - 1
    hop = fabric.hop(
        first[sender], last, bytes_per_s=cards, latency_s=latency_s, apart=one.devices_per_node
    )
    ends = min(_devices_of(one), _devices_of(other))
    each = max(one.devices_per_node, other.devices_per_node)
    return PoolLinks(
        device_bytes_per_s=hop.bytes_per_s / each,
        all_bytes_per_s=hop.bytes_per_s / each * ends,
        latency_s=hop.latency_s,
    )


def transfer_of(
    links: PoolLinks, reader: ServingScenario, load: ClosedLoad, *, devices: int
) -> Transfer:
    """Of a prompt's cache that `devices` of the reader send side by side. Layers travel while later
    ones are computed, so a request waits for the last one (kvcache-ai/Mooncake, arXiv 2407.00079,
    section 5.2)."""
    copies = reader.degrees.tensor
    cached = sum(
        size * (load.mean_input if window is None else min(load.mean_input, window))
        for window, size in kv_bytes_per_token(reader)
    )
    size_bytes = cached * (1 if reader.model.mla is not None else copies)
    rate = links.device_bytes_per_s * min(devices, reader.degrees.stage_devices)
    last_s = size_bytes / reader.model.num_layers / rate
    return Transfer(
        seconds=last_s + links.latency_s, carried_per_s=links.all_bytes_per_s / size_bytes
    )


def _devices_of(group: NodeGroup) -> int:
    return (group.count or 1) * group.devices_per_node
