"""Where one stage of a replica may lie: devices that share the fast fabric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.serving.scenario import StageLink

if TYPE_CHECKING:
    from planner.specs.cluster.spec import NodeGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class FastDomain:
    """A node, or the nodes that share its fabric; bytes/s of one device, one direction."""

    devices: int
    bytes_per_s: float


def fast_domain(group: NodeGroup) -> FastDomain:
    """Of a node group: the scale-up domain where it has one, no larger than the group."""
    inside = group.intra_node.bandwidth_bytes_per_s
    fabric = group.scale_up
    if fabric is None or fabric.nodes < 2:
        return FastDomain(devices=group.devices_per_node, bytes_per_s=inside)
    nodes = fabric.nodes if group.count is None else min(fabric.nodes, group.count)
    if nodes < 2:
        return FastDomain(devices=group.devices_per_node, bytes_per_s=inside)
    return FastDomain(
        devices=nodes * group.devices_per_node,
        bytes_per_s=min(inside, fabric.bandwidth_bytes_per_s),
    )


def stage_link(group: NodeGroup, stage_devices: int) -> StageLink | None:
    """Between stages of so many devices: over the network where a fast fabric holds but one. None
    where there is no network."""
    domain = fast_domain(group)
    if 2 * stage_devices <= domain.devices:
        latency_s = group.intra_node.latency_s or 0.0
        return StageLink(bytes_per_s=domain.bytes_per_s, latency_s=latency_s)
    if group.network is None:
        return None
    each = group.network.node_bytes_per_s / group.devices_per_node
    return StageLink(bytes_per_s=each, latency_s=group.network.latency_s or 0.0)
