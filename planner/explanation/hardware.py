"""Clusters with one part better than described, to price each part of the hardware."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from planner.training.search.robust import with_network_bandwidth

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from planner.specs.cluster.spec import ClusterSpec, NodeGroup
    from planner.specs.device import DeviceSpec

    Changed = Callable[[ClusterSpec, float], ClusterSpec]

M = TypeVar("M", bound="BaseModel")


def with_inner_bandwidth(cluster: ClusterSpec, factor: float) -> ClusterSpec:
    """The cluster with every bandwidth inside nodes and scale-up domains times the factor."""

    def group(one: NodeGroup) -> NodeGroup:
        fast = one.scale_up
        return replace(
            one,
            intra_node=_wider(one.intra_node, factor),
            scale_up=None if fast is None else _wider(fast, factor),
        )

    return replace(cluster, node_groups=tuple(map(group, cluster.node_groups)))


def with_latency(cluster: ClusterSpec, factor: float) -> ClusterSpec:
    """The cluster with every latency of links, and every start of a transfer, times the factor."""

    def group(one: NodeGroup) -> NodeGroup:
        return replace(
            one,
            intra_node=_later(one.intra_node, factor),
            network=None if one.network is None else _later(one.network, factor),
            scale_up=None if one.scale_up is None else _later(one.scale_up, factor),
            device=_device(one.device, "links", ("launch", "step", "network_step"), factor),
        )

    return replace(
        cluster,
        node_groups=tuple(map(group, cluster.node_groups)),
        tiers=tuple(_later(tier, factor) for tier in cluster.tiers),
        overrides=tuple(_later(one, factor) for one in cluster.overrides),
    )


def with_memory_bandwidth(cluster: ClusterSpec, factor: float) -> ClusterSpec:
    """The cluster with the bandwidth of every device's memory times the factor."""
    return _devices(cluster, "memory", ("bandwidth",), factor)


def with_peak(cluster: ClusterSpec, factor: float) -> ClusterSpec:
    """The cluster with the peak rate of every device, in every number format, times the factor."""
    formats = cluster.node_groups[0].device.peak.model_fields_set
    for group in cluster.node_groups:
        formats = formats | group.device.peak.model_fields_set
    return _devices(cluster, "peak", tuple(sorted(formats)), factor)


def with_memory(cluster: ClusterSpec, factor: float) -> ClusterSpec:
    """The cluster with the memory of every device times the factor."""
    return _devices(cluster, "memory", ("capacity",), factor)


BETTER: tuple[tuple[str, Changed, float], ...] = (
    ("bandwidth between nodes", with_network_bandwidth, 1.1),
    ("bandwidth inside nodes", with_inner_bandwidth, 1.1),
    ("latency of links", with_latency, 0.9),
    ("bandwidth of device memory", with_memory_bandwidth, 1.1),
    ("peak rate of the devices", with_peak, 1.1),
    ("size of device memory", with_memory, 1.1),
)
"""The parts that are improved: how, and by which factor."""

L = TypeVar("L")


def _wider(link: L, factor: float) -> L:
    now = link.bandwidth_bytes_per_s  # type: ignore[attr-defined]
    return replace(link, bandwidth_bytes_per_s=factor * now)  # type: ignore[type-var]


def _later(link: L, factor: float) -> L:
    """Latencies that nothing states are the device's, which `with_latency` changes too."""
    now = link.latency_s  # type: ignore[attr-defined]
    return link if now is None else replace(link, latency_s=factor * now)  # type: ignore[type-var]


def _devices(
    cluster: ClusterSpec, section: str, names: tuple[str, ...], factor: float
) -> ClusterSpec:
    groups = (
        replace(group, device=_device(group.device, section, names, factor))
        for group in cluster.node_groups
    )
    return replace(cluster, node_groups=tuple(groups))


def _device(device: DeviceSpec, section: str, names: tuple[str, ...], factor: float) -> DeviceSpec:
    """The device with the constants of one section times the factor; missing constants stay
    missing."""
    holder = getattr(device, section)
    update = {}
    for name in names:
        constant = getattr(holder, name)
        if constant is not None:
            value = type(constant.value)(factor * constant.value)
            update[name] = constant.model_copy(update={"value": value})
    return device.model_copy(update={section: holder.model_copy(update=update)})
