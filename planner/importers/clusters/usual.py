"""What a node with a device usually looks like, where no file says it.

Taken from the shipped clusters; for devices that none of them has, from the NVLinks of the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planner.importers.clusters.devices import nvlink_bytes_per_s
from planner.specs.files.catalog import find_shipped, list_shipped
from planner.specs.files.yaml_file import load_document
from planner.specs.units import format_bytes_per_second

_SWITCHED_NODES = {
    "a100-sxm-40gb": (12, 8),
    "a800-sxm-80gb": (8, 8),
    "h100-sxm-96gb-500w": (18, 8),
    "h200-sxm": (18, 8),
    "b200-sxm": (18, 8),
    "b300-sxm": (18, 8),
    "gb300": (18, 4),
}
"""NVLinks of a device, and devices that come together in a node (NVIDIA HGX and GB300 NVL72 data
sheets)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualNode:
    """Bandwidths are unit text as in a cluster file; `where` says what they were taken from."""

    devices_per_node: int
    intra_node: str
    network: Mapping[str, Any] | None
    where: str


def usual_node(device: str) -> UsualNode | None:
    """None for a device that says nothing of its nodes."""
    for name in list_shipped("cluster"):
        path = find_shipped("cluster", name)
        tree = load_document(path).tree if path is not None else {}
        for group in tree.get("node_groups", ()):
            if group.get("device") == device:
                return UsualNode(
                    devices_per_node=group["devices_per_node"],
                    intra_node=group["intra_node"]["bandwidth"],
                    network=group.get("network"),
                    where=f"as in shipped cluster {name}",
                )
    rate = nvlink_bytes_per_s(device)
    if device not in _SWITCHED_NODES or rate is None:
        return None
    links, together = _SWITCHED_NODES[device]
    return UsualNode(
        devices_per_node=together,
        intra_node=format_bytes_per_second(links * rate),
        network=None,
        where=f"{together} devices with {links} NVLinks of {rate / 1e9:g} GB/s each way",
    )
