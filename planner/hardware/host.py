"""What a device finds in the memory of its host: how much there is, and how fast it gets there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from planner.specs.files.fields import BytesPerSecond, Constant, Fraction
from planner.specs.files.general import general

if TYPE_CHECKING:
    from planner.specs.cluster.spec import ClusterSpec, NodeGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRates:
    """The share of one device, in a node where all of them use the host at once: bytes/s over its
    link in one direction, through the memory itself, and of the drives. `node_bytes` is all of a
    node's memory, None where nobody says; `devices` share it. `assumed`: what the cluster file
    leaves out."""

    node_bytes: int | None
    devices: int
    link_bytes_per_s: float
    memory_bytes_per_s: float
    nvme_bytes_per_s: float
    assumed: tuple[str, ...]


def host_of(cluster: ClusterSpec, devices: int) -> HostRates:
    """The host of every node of a job on `devices` devices of the cluster; where nodes differ, the
    least that any of them has."""
    each = [_of_group(group, devices) for group in cluster.node_groups]
    sizes = [one.node_bytes for one in each if one.node_bytes is not None]
    return HostRates(
        node_bytes=min(sizes, default=None),
        devices=max(one.devices for one in each),
        link_bytes_per_s=min(one.link_bytes_per_s for one in each),
        memory_bytes_per_s=min(one.memory_bytes_per_s for one in each),
        nvme_bytes_per_s=min(one.nvme_bytes_per_s for one in each),
        assumed=tuple(dict.fromkeys(said for one in each for said in one.assumed)),
    )


def _of_group(group: NodeGroup, of_job: int) -> HostRates:
    given, devices = group.host_memory, min(group.devices_per_node, of_job)
    known = {
        "memory_bandwidth": given.memory_bytes_per_s,
        "link": given.link_bytes_per_s,
    }
    lacking = [name for name, value in known.items() if value is None]
    assumed = (f"host {' and '.join(lacking)} of group {group.name}",) if lacking else ()
    link_bytes_per_s = given.link_bytes_per_s or _general("link")
    memory_bytes_per_s = given.memory_bytes_per_s or _general("memory_bandwidth")
    nvme_bytes_per_s = given.nvme_bytes_per_s or _general("nvme_bandwidth")
    return HostRates(
        node_bytes=given.memory_bytes,
        devices=devices,
        link_bytes_per_s=link_bytes_per_s * _reached("link_efficiency") / given.link_shared_by,
        memory_bytes_per_s=memory_bytes_per_s * _reached("memory_efficiency") / devices,
        nvme_bytes_per_s=nvme_bytes_per_s / devices,
        assumed=assumed,
    )


@cache
def _general(name: str) -> float:
    return general("cluster", f"host.{name}", Constant[BytesPerSecond]).value


@cache
def _reached(name: str) -> float:
    return general("cluster", f"host.{name}", Constant[Fraction]).value
