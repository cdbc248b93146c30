"""The cluster as the rest of the planner sees it: devices found, hosts named, links in bytes/s."""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.errors import InputError
from planner.specs.cluster.electricity import Electricity
from planner.specs.cluster.prices import PriceList
from planner.specs.cluster.reliability import Reliability
from planner.specs.device import DeviceSpec
from planner.specs.files.source import SourceFile
from planner.specs.networks import NetworkKind


@dataclass(frozen=True, slots=True, kw_only=True)
class IntraNode:
    """The fabric inside a node. Bandwidth of one device, one direction, bytes/s. Latency None:
    the device file's `links.step`."""

    bandwidth_bytes_per_s: float
    latency_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network cards of one node. Bandwidth of one card, one direction, bytes/s. Latency None:
    the device file's `links.network_step`."""

    cards: int
    bandwidth_bytes_per_s: float
    latency_s: float | None = None
    kind: NetworkKind = "infiniband"

    @property
    def node_bytes_per_s(self) -> float:
        return self.cards * self.bandwidth_bytes_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleUp:
    """`nodes` neighbours share the fast fabric: bandwidth of one device, one direction, bytes/s.
    `segment`: nodes of one domain that a job gets; None leaves it to the job's size (`segments`).
    """

    nodes: int
    bandwidth_bytes_per_s: float
    latency_s: float | None = None
    segment: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMemory:
    """The memory of one node and the links that devices reach it over: bytes, bytes/s of all of it,
    bytes/s of one link in one direction, which `link_shared_by` devices share, and of its drives.
    None: the file does not say."""

    memory_bytes: int | None = None
    memory_bytes_per_s: float | None = None
    link_bytes_per_s: float | None = None
    link_shared_by: int = 1
    nvme_bytes_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGroup:
    """Equal nodes. `count` and `hosts` are None where the file leaves them to the job: as many
    nodes as its devices need (`ClusterSpec.sized`)."""

    name: str
    count: int | None
    device: DeviceSpec
    devices_per_node: int
    intra_node: IntraNode
    network: Network | None = None
    scale_up: ScaleUp | None = None
    hosts: tuple[str, ...] | None = None
    host_memory: HostMemory = HostMemory()
    price_per_device_hour: float | None = None
    """In the currency of the cluster's prices; None: the file states none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FabricTier:
    """A class of links between nodes. `nodes` share one switch (or site) of the tier; None: all
    do. Traffic that leaves the tier below gets the network's bandwidth divided by
    `oversubscription`, or `bandwidth_bytes_per_s` per node where that is given."""

    name: str
    nodes: int | None
    oversubscription: float = 1.0
    bandwidth_bytes_per_s: float | None = None
    latency_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BandwidthMatrix:
    """Measured node-to-node bandwidth: `bytes_per_s[sender][receiver]`, of one node, in cluster
    order, all above 0. None on the diagonal, where there is no link, and for links that were not
    measured: they have what network and tiers say."""

    bytes_per_s: tuple[tuple[float | None, ...], ...]
    path: str

    @property
    def unmeasured(self) -> int:
        """Links, each direction counted, without a value."""
        return sum(row.count(None) for row in self.bytes_per_s) - len(self.bytes_per_s)

    def scaled(self, factor: float) -> BandwidthMatrix:
        """Every measured bandwidth times the factor."""
        rows = tuple(
            tuple(None if value is None else factor * value for value in row)
            for row in self.bytes_per_s
        )
        return replace(self, bytes_per_s=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOverride:
    """Both directions between two nodes, by index in cluster order; bytes/s of one node."""

    between: tuple[int, int]
    bandwidth_bytes_per_s: float
    latency_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """Groups of nodes in file order, the tiers between them from the inside out, and what was
    measured to differ. No tiers: one non-blocking network. `doubts`: figures of the file that its
    hardware cannot have, with their places."""

    name: str
    node_groups: tuple[NodeGroup, ...]
    tiers: tuple[FabricTier, ...] = ()
    matrix: BandwidthMatrix | None = None
    overrides: tuple[LinkOverride, ...] = ()
    reliability: Reliability | None = None
    prices: PriceList | None = None
    electricity: Electricity | None = None
    assumptions: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    source: SourceFile | None = None

    @property
    def num_nodes(self) -> int | None:
        """None when a group's count is left to the job."""
        counts = [group.count for group in self.node_groups]
        return None if None in counts else sum(count or 0 for count in counts)

    @property
    def num_devices(self) -> int | None:
        """None when a group's count is left to the job."""
        if self.num_nodes is None:
            return None
        return sum((group.count or 0) * group.devices_per_node for group in self.node_groups)

    def host_names(self) -> tuple[str, ...]:
        """Every node's host name, in cluster order. Raises: InputError without counts."""
        names: list[str] = []
        for group in self.node_groups:
            if group.hosts is None:
                raise InputError(f"node group {group.name} has no count, so no host names")
            names.extend(group.hosts)
        return tuple(names)

    def sized(self, *, nodes: int | None = None, devices: int | None = None) -> ClusterSpec:
        """The first nodes of the cluster: `nodes` of them, or as many as hold `devices`. Without
        either, all of them. The result has every count, and a host name for each node.

        Raises: InputError when the cluster has fewer, or when the last node would be used in
        part (one node alone may be).
        """
        groups: list[NodeGroup] = []
        nodes_left, devices_left = nodes, devices
        for group in self.node_groups:
            wanted = _wanted(group, nodes_left, devices_left)
            if wanted is None:
                raise InputError(
                    f"cluster {self.name}: node group {group.name} has no count",
                    hint="give --nodes or --devices",
                )
            taken = wanted if group.count is None else min(wanted, group.count)
            if taken:
                groups.append(_resized(group, taken))
            if nodes_left is not None:
                nodes_left -= taken
            if devices_left is not None:
                devices_left = max(0, devices_left - taken * group.devices_per_node)
        if nodes_left or devices_left:
            asked = f"{nodes} nodes" if nodes is not None else f"{devices} devices"
            raise InputError(
                f"cluster {self.name} has {self.num_nodes} nodes with {self.num_devices} devices, "
                f"fewer than the {asked} asked for"
            )
        cluster = replace(self, node_groups=tuple(groups))
        cluster = replace(cluster, matrix=cluster._cut_matrix(), overrides=cluster._cut_overrides())
        cluster._check_whole_nodes(devices)
        return cluster

    def _check_whole_nodes(self, devices: int | None) -> None:
        held = self.num_devices or 0
        if devices is None or devices == held or self.num_nodes == 1:
            return
        last = self.node_groups[-1]
        raise InputError(
            f"{devices} devices leave a node of group {last.name} partly used "
            f"({last.devices_per_node} devices each)",
            hint=f"use {held} or {held - last.devices_per_node}",
        )

    def _cut_matrix(self) -> BandwidthMatrix | None:
        if self.matrix is None:
            return None
        size = self.num_nodes
        rows = tuple(row[:size] for row in self.matrix.bytes_per_s[:size])
        return replace(self.matrix, bytes_per_s=rows)

    def _cut_overrides(self) -> tuple[LinkOverride, ...]:
        size = self.num_nodes or 0
        return tuple(override for override in self.overrides if max(override.between) < size)


def _wanted(group: NodeGroup, nodes: int | None, devices: int | None) -> int | None:
    if nodes is not None:
        return nodes
    if devices is not None:
        return -(-devices // group.devices_per_node)
    return group.count


def _resized(group: NodeGroup, count: int) -> NodeGroup:
    if group.hosts is not None:
        return replace(group, count=count, hosts=group.hosts[:count])
    if count > 1 and group.network is None:
        raise InputError(
            f"node group {group.name} has no network, so it holds one node, not {count}"
        )
    return replace(group, count=count, hosts=default_hosts(group.name, count))


def default_hosts(group_name: str, count: int) -> tuple[str, ...]:
    """Names of nodes that the file does not name."""
    return tuple(f"{group_name}-{index}" for index in range(count))
