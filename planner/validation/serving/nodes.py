"""Nodes of the clusters on which published runs with several of them ran."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from planner.hardware.described import device_from_spec
from planner.hardware.fabric import Fabric
from planner.hardware.group import NodeKind
from planner.hardware.links import Topology
from planner.specs.files import catalog
from planner.specs.files.fields import BytesPerSecond, Count, Input, Text
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document

if TYPE_CHECKING:
    from planner.hardware.links import ProcessGroup
    from planner.specs.device import DeviceSpec


class DeviceNode(Input):
    """A node of some devices: how many share its fast fabric, and what each has of the network, in
    one direction."""

    devices: tuple[Text, ...]
    devices_per_node: Count
    network: BytesPerSecond
    source: Text


class DeviceNodes(Input):
    """The file of nodes."""

    nodes: tuple[DeviceNode, ...]


@cache
def stage_group(device: DeviceSpec, devices: int) -> ProcessGroup | None:
    """The devices of one stage where they take several nodes; None where one fabric holds them, or
    no node is known."""
    node = next((one for one in _nodes().nodes if device.name in one.devices), None)
    links = device.intra_node
    if node is None or links is None or devices <= node.devices_per_node:
        return None
    described = device_from_spec(device)
    kind = NodeKind(
        device=described,
        devices_per_node=node.devices_per_node,
        wired_devices=node.devices_per_node,
        domain_nodes=1,
        node_bytes_per_s=links.bandwidth.value,
        node_step_s=described.links.step_s,
        domain_bytes_per_s=links.bandwidth.value,
        domain_step_s=described.links.step_s,
        cards=node.devices_per_node,
        network_bytes_per_s=node.devices_per_node * node.network,
        network_step_s=described.links.network_step_s,
    )
    count = -(-devices // node.devices_per_node)
    return Topology([kind] * count, Fabric(), range(count)).group(devices, 1)


@cache
def _nodes() -> DeviceNodes:
    """The shipped file. Raises: InputError."""
    return validate(load_document(catalog.folder("runs") / "serving" / "nodes.yaml"), DeviceNodes)
