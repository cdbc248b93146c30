"""Cluster files: what a user writes. `cluster_build` makes a `ClusterSpec` of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from planner.specs.cluster.electricity import ElectricityInput
from planner.specs.cluster.hostlist import MOST_HOSTS, expand_hosts
from planner.specs.cluster.prices import PricesInput
from planner.specs.cluster.reliability import ReliabilityInput
from planner.specs.device import DeviceSpec
from planner.specs.files.fields import Bytes, BytesPerSecond, Count, Input, Name, Seconds, Text
from planner.specs.files.or_text import OrText
from planner.specs.library import LibraryReference
from planner.specs.networks import NetworkKind
from planner.specs.quantities import BYTES_PER_SECOND
from planner.specs.units import unit_factor


def _device_of(value: object, info: ValidationInfo) -> object:
    """The device a name or path stands for, or a description with what it leaves to another
    device; the loader passes how to find them."""
    if info.context is None:
        return value
    return info.context.device(value) if isinstance(value, str) else info.context.completed(value)


def _matrix_of(value: object) -> object:
    return {"file": value} if isinstance(value, str) else value


def _bandwidth_unit(value: object) -> object:
    if isinstance(value, str):
        unit_factor(BYTES_PER_SECOND, value)
    return value


def _end_of_link(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("expected a node's name or index")
    return value


_HOSTS_SCHEMA = {
    "anyOf": [
        {"type": "string", "examples": ["node[001-128,130]"]},
        {"type": "array", "items": {"type": "string"}},
    ],
    "description": "Host names: a list, or text with ranges. Default: {name}-{i}.",
}

Hosts = Annotated[
    tuple[str, ...],
    Field(max_length=MOST_HOSTS),
    BeforeValidator(expand_hosts),
    WithJsonSchema(_HOSTS_SCHEMA),
]
BandwidthUnit = Annotated[str, BeforeValidator(_bandwidth_unit)]
NodeReference = Annotated[
    Any, BeforeValidator(_end_of_link), WithJsonSchema({"type": ["integer", "string"]})
]


class IntraNodeInput(Input):
    """The fabric inside a node."""

    bandwidth: BytesPerSecond
    """Of one device, one direction."""
    latency: Seconds | None = None
    """Default: the device file's measured step."""


class NetworkInput(Input):
    """The network cards of a node."""

    cards: Count
    """Of one node."""
    bandwidth: BytesPerSecond
    """Of one card, one direction."""
    latency: Seconds | None = None
    """Default: the device file's measured step."""
    kind: NetworkKind | None = None
    """Default: `efa` where a node has more cards than devices, else `infiniband`."""


class HostLinkInput(Input):
    """The link between devices and the memory of their host."""

    bandwidth: BytesPerSecond
    """Of one link, one direction, as the data sheet states it."""
    shared_by: Count = 1
    """Devices that share one link."""


class HostInput(Input):
    """The host of a node."""

    slowness: Annotated[float, Field(gt=0, le=100)] | None = None
    """Host time of the same launches relative to that of an x86 server of 2020 to 2025. Default:
    that of the device file."""
    memory: Bytes | None = None
    """Of one node, as much as a job may use. Default: as much as the job needs."""
    memory_bandwidth: BytesPerSecond | None = None
    """Of one node: channels times rate. Default: a general value."""
    link: HostLinkInput | None = None
    """Default: a general value."""
    nvme_bandwidth: BytesPerSecond | None = None
    """Of the drives of one node, reads and writes together. Default: a general value."""


class ScaleUpInput(Input):
    """A fast fabric that spans nodes."""

    nodes: Count
    """Neighbouring nodes that share it."""
    bandwidth: BytesPerSecond
    """Of one device, one direction."""
    latency: Seconds | None = None
    """Default: that of `intra_node`."""
    segment: Count | None = None
    """Nodes of one domain that a job gets (Slurm `--segment`). Default: all of them for a job that
    one domain holds, else the greatest divisor of the job's nodes that one domain holds."""


class NodeGroupInput(Input):
    """Equal nodes."""

    name: Name | None = None
    """Default: group-0, group-1, …"""
    count: Count | None = None
    """Default: the number of `hosts`, else as many as the job's devices need."""
    device: Annotated[
        DeviceSpec,
        BeforeValidator(_device_of),
        OrText("Name of a shipped device, or path of a device file."),
    ]
    devices_per_node: Annotated[int, Field(ge=1, le=1024)]
    collectives: LibraryReference | None = None
    """The collective library of these nodes. Default: that of the device."""
    intra_node: IntraNodeInput
    network: NetworkInput | None = None
    """Required when there is more than one node."""
    scale_up: ScaleUpInput | None = None
    host: HostInput | None = None
    """Default: general values, which estimates with offloading name."""
    hosts: Hosts | None = None


class TierInput(Input):
    """A class of links between nodes."""

    name: Name
    nodes: Count | None = None
    """Nodes below one switch (or on one site) of the tier. The last tier may leave it out: all."""
    oversubscription: Annotated[float, Field(ge=1, le=1000)] = 1
    """Traffic through this tier gets the network's bandwidth divided by this."""
    bandwidth: BytesPerSecond | None = None
    """What one node reaches through this tier, where that is not the network's own bandwidth."""
    latency: Seconds | None = None
    """Of a message through this tier. Default: the network's."""


class FabricInput(Input):
    """How nodes are connected. Default: one non-blocking tier."""

    tiers: Annotated[tuple[TierInput, ...], Field(min_length=1, max_length=10)]
    """From the nodes outwards."""


class MatrixInput(Input):
    """Measured node-to-node bandwidth."""

    file: Text
    """A CSV file, relative to this file: header row and first column are host names, rows send. An
    empty cell was not measured: the link has what network and tiers say."""
    unit: BandwidthUnit | None = None
    """Default: the corner cell of the CSV."""
    per: Literal["node", "card"] = "node"
    """`card`: values are of one network card."""


class OverrideInput(Input):
    """One pair of nodes, or all pairs of two groups, both directions."""

    between: tuple[NodeReference, NodeReference]
    """Names of hosts or groups, or indices of nodes from 0 in file order."""
    bandwidth: BytesPerSecond
    """What one node reaches to the other."""
    latency: Seconds | None = None


class LinksInput(Input):
    """What differs from the groups and tiers."""

    matrix: (
        Annotated[MatrixInput, BeforeValidator(_matrix_of), OrText("Path of the CSV file.")] | None
    ) = None
    overrides: tuple[OverrideInput, ...] = ()


class ClusterInput(Input):
    """A cluster for `planner`."""

    name: Name | None = None
    """Default: the name of the file, with dashes for characters that a name cannot hold."""
    node_groups: Annotated[tuple[NodeGroupInput, ...], Field(min_length=1, max_length=1000)]
    """Several groups make a mixed cluster."""
    fabric: FabricInput | None = None
    links: LinksInput = LinksInput()
    reliability: ReliabilityInput | None = None
    """How often machines fail, and where checkpoints go."""
    prices: PricesInput | None = None
    """What the devices cost. Without it nothing is said of prices."""
    power: ElectricityInput | None = None
    """What the devices take and what comes with it. Without it nothing is said of energy."""
