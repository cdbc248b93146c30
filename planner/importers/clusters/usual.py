"""What a node with a device usually looks like, where no file says it.

Taken from the shipped clusters; for other devices, from the links in the device's data sheet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planner.importers.clusters.devices import together
from planner.specs.device_parts import NodeLinks
from planner.specs.files.catalog import find_shipped, list_shipped
from planner.specs.files.yaml_file import load_document
from planner.specs.load import load_device
from planner.specs.unit_text import format_bytes_per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualNode:
    """Bandwidths are text with a unit, as in a cluster file; `where` says where they come from."""

    devices_per_node: int
    intra_node: str
    network: Mapping[str, Any] | None
    scale_up: Mapping[str, Any] | None
    where: str


def usual_node(device: str) -> UsualNode | None:
    """None for a device about whose nodes nothing is known."""
    for name in list_shipped("cluster"):
        path = find_shipped("cluster", name)
        tree = load_document(path).tree if path is not None else {}
        for group in tree.get("node_groups", ()):
            if group.get("device") == device:
                return UsualNode(
                    devices_per_node=group["devices_per_node"],
                    intra_node=group["intra_node"]["bandwidth"],
                    network=group.get("network"),
                    scale_up=group.get("scale_up"),
                    where=f"as in shipped cluster {name}",
                )
    nominal, number = nominal_links(device), together(device)
    if nominal is None or number is None or not nominal.on_board:
        return None
    bandwidth = format_bytes_per_second(nominal.bandwidth.value)
    return UsualNode(
        devices_per_node=number,
        intra_node=bandwidth,
        network=None,
        scale_up=None,
        where=f"{number} devices with links of {bandwidth} each way",
    )


def nominal_links(device: str) -> NodeLinks | None:
    """How a device reaches the others of its node by the data sheet; None for a device that is not
    shipped."""
    return None if find_shipped("device", device) is None else load_device(device).intra_node


def switches_reduce(device: str) -> bool:
    """Whether the switches inside a node of the device can reduce; True for a device that is not
    shipped, about which nothing is known."""
    if find_shipped("device", device) is None:
        return True
    return load_device(device).links.reduction_efficiency is not None
