"""From a cluster file to a `ClusterSpec`: devices found, hosts named, links by node index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from planner.errors import InputError
from planner.specs.cluster.electricity import Electricity, build_electricity
from planner.specs.cluster.file import (
    ClusterInput,
    HostInput,
    NodeGroupInput,
    TierInput,
)
from planner.specs.cluster.links import place_matrix, place_overrides
from planner.specs.cluster.nominal import doubts
from planner.specs.cluster.prices import PriceList, build_prices, price_of
from planner.specs.cluster.reliability import Reliability, build_reliability
from planner.specs.cluster.rules import broken_group_rules, broken_tier_rules
from planner.specs.cluster.spec import (
    BandwidthMatrix,
    ClusterSpec,
    FabricTier,
    HostMemory,
    IntraNode,
    Network,
    NodeGroup,
    ScaleUp,
    default_hosts,
)
from planner.specs.cluster.surroundings import Surroundings
from planner.specs.device import DeviceSpec
from planner.specs.device_parts import DeviceHost
from planner.specs.files.document import Document
from planner.specs.files.fields import Constant, Number
from planner.specs.files.problems import in_order, validate
from planner.specs.files.source import SourceFile, combined_sha256
from planner.specs.library import vendor_library
from planner.specs.names import as_name
from planner.specs.networks import NetworkKind


def build_cluster(document: Document, *, name: str, around: Surroundings) -> ClusterSpec:
    """The cluster a document describes; `name` is taken when the document gives none,
    with dashes for characters that a name cannot hold.

    Raises: InputError with every problem and its place.
    """
    given = validate(document, ClusterInput, context=around)
    named = [group.name or f"group-{index}" for index, group in enumerate(given.node_groups)]
    problems = [*broken_group_rules(document, given, named), *broken_tier_rules(document, given)]
    if problems:
        raise InputError.of(in_order(problems))
    called = given.name or as_name(name, otherwise="unnamed")
    return _Builder(document, given, named, around).cluster(called)


class _Builder:
    """Turns a checked input into the values the planner works with."""

    def __init__(
        self, document: Document, given: ClusterInput, names: list[str], around: Surroundings
    ) -> None:
        self._document = document
        self._given = given
        self._names = names
        self._around = around
        self._assumptions: list[str] = []
        self._matrix_sha256 = ""
        self._libraries: dict[str, None] = {}

    def cluster(self, name: str) -> ClusterSpec:
        given = self._given
        groups = tuple(
            self._group(group, group_name)
            for group, group_name in zip(given.node_groups, self._names, strict=True)
        )
        matrix = None
        if given.links.matrix is not None:
            placed = place_matrix(
                self._document,
                given.links.matrix,
                groups,
                listed=tuple(group.hosts is not None for group in given.node_groups),
                folder=self._around.folder,
            )
            groups, matrix = placed.groups, placed.matrix
            self._matrix_sha256 = placed.sha256
            self._note_unmeasured(placed.matrix)
        self._check_counts(groups)
        cluster = ClusterSpec(
            name=name,
            node_groups=groups,
            tiers=tuple(_tier(tier) for tier in given.fabric.tiers) if given.fabric else (),
            matrix=matrix,
            reliability=self._reliability(),
            prices=self._prices(groups),
            electricity=self._electricity(groups),
            assumptions=tuple(self._assumptions),
            doubts=tuple(self._doubts()),
            source=self._source(),
        )
        if not given.links.overrides:
            return cluster
        if cluster.num_nodes is None:
            raise self._document.error(
                "overrides name nodes, so every group needs a count", ("links", "overrides")
            )
        overrides = place_overrides(self._document, given.links.overrides, groups)
        return replace(cluster, overrides=overrides)

    def _reliability(self) -> Reliability | None:
        given = self._given.reliability
        return None if given is None else build_reliability(given, self._assumptions)

    def _prices(self, groups: tuple[NodeGroup, ...]) -> PriceList | None:
        given, fabric = self._given.prices, self._given.fabric
        if given is None:
            return None
        named = [(group.name, group.device.name) for group in groups]
        tiers = [tier.name for tier in fabric.tiers] if fabric else []
        return build_prices(self._document, given, named, tiers)

    def _electricity(self, groups: tuple[NodeGroup, ...]) -> Electricity | None:
        given, prices = self._given.power, self._given.prices
        if given is None:
            return None
        for index, group in enumerate(groups):
            if group.device.power is None:
                raise self._document.error(
                    f"device {group.device.name} states no power, so its energy is not known",
                    ("node_groups", index, "device"),
                    hint="add power: 700 W, or what its data sheet says, to the device",
                )
        currency = None if prices is None else prices.currency
        return build_electricity(self._document, given, currency, self._assumptions)

    def _doubts(self) -> Iterator[str]:
        for index, group in enumerate(self._given.node_groups):
            yield from map(str, doubts(self._document, group, ("node_groups", index)))

    def _note_unmeasured(self, matrix: BandwidthMatrix) -> None:
        nodes = len(matrix.bytes_per_s)
        if matrix.unmeasured:
            self._assumptions.append(
                f"cluster: {matrix.unmeasured:,} of {nodes * (nodes - 1):,} links were not "
                "measured; they have what network and tiers say"
            )

    def _check_counts(self, groups: tuple[NodeGroup, ...]) -> None:
        """Notes what the file leaves open; a matrix may have named more nodes than one."""
        for index, group in enumerate(groups):
            if group.count is None:
                self._assumptions.append(
                    f"cluster: group {group.name} has as many nodes as the job needs"
                )
            elif group.count > 1 and group.network is None:
                raise self._document.error(
                    "network is missing; there is more than one node", ("node_groups", index)
                )
        if self._given.fabric is None and any(group.count != 1 for group in groups):
            self._assumptions.append("cluster: one non-blocking network tier (no fabric given)")

    def _group(self, given: NodeGroupInput, name: str) -> NodeGroup:
        hosts = given.hosts
        count = given.count if given.count is not None else (len(hosts) if hosts else None)
        if hosts is None and count is not None:
            hosts = default_hosts(name, count)
        if given.device.inferred is not None:
            self._assumptions.append(f"cluster: {given.device.inferred}")
        network, inner = given.network, given.intra_node
        missing = ["intra_node"] if inner.latency is None else []
        if network is not None and network.latency is None:
            missing.append("network")
        if missing:
            self._assumptions.append(
                f"cluster: {' and '.join(missing)} latency of group {name} from device file "
                f"{given.device.name}"
            )
        return NodeGroup(
            name=name,
            count=count,
            device=self._device(given, name),
            devices_per_node=given.devices_per_node,
            intra_node=IntraNode(bandwidth_bytes_per_s=inner.bandwidth, latency_s=inner.latency),
            network=None
            if network is None
            else Network(
                cards=network.cards,
                bandwidth_bytes_per_s=network.bandwidth,
                latency_s=network.latency,
                kind=self._network_kind(given, name),
            ),
            scale_up=None
            if given.scale_up is None
            else ScaleUp(
                nodes=given.scale_up.nodes,
                bandwidth_bytes_per_s=given.scale_up.bandwidth,
                latency_s=given.scale_up.latency,
                segment=given.scale_up.segment,
            ),
            hosts=hosts,
            host_memory=_host_memory(given.host),
            price_per_device_hour=price_of(self._given.prices, name, given.device.name),
        )

    def _network_kind(self, given: NodeGroupInput, name: str) -> NetworkKind:
        """What the file says. Nodes with more cards than devices are those of Amazon's EFA (p5,
        p5en, p6-b300)."""
        network = given.network
        if network is not None and network.kind is not None:
            return network.kind
        if network is None or network.cards <= given.devices_per_node:
            return "infiniband"
        self._assumptions.append(
            f"cluster: network of group {name} is EFA (more cards than devices; network.kind says "
            "otherwise)"
        )
        return "efa"

    def _device(self, given: NodeGroupInput, name: str) -> DeviceSpec:
        """The device with the collective library and the host of the group; the library is noted
        where nothing says which one it is."""
        device = given.device
        if given.host is not None and given.host.slowness is not None:
            slowness = Constant[Number](
                value=given.host.slowness, basis="measured", source="the cluster file"
            )
            device = device.model_copy(update={"host": DeviceHost(slowness=slowness)})
        if given.collectives is not None:
            device = device.model_copy(update={"collectives": given.collectives})
        if device.collectives is None and vendor_library(device.vendor) is None:
            self._assumptions.append(
                f"cluster: collectives of group {name} as in {device.library.name} (no library is "
                f"shipped for vendor {device.vendor})"
            )
        if device.library.source_file is not None:
            self._libraries[device.library.source_file.sha256] = None
        return device

    def _source(self) -> SourceFile | None:
        """The file, with one digest of everything that shaped the cluster."""
        if not self._document.sha256:
            return None
        parts = [self._document.sha256]
        parts += [one.source.sha256 for one in self._around.devices.values() if one.source]
        parts += self._libraries
        if self._matrix_sha256:
            parts.append(self._matrix_sha256)
        return SourceFile(path=self._document.path, sha256=combined_sha256(parts))


def _host_memory(given: HostInput | None) -> HostMemory:
    if given is None:
        return HostMemory()
    link = given.link
    return HostMemory(
        memory_bytes=given.memory,
        memory_bytes_per_s=given.memory_bandwidth,
        link_bytes_per_s=None if link is None else link.bandwidth,
        link_shared_by=1 if link is None else link.shared_by,
        nvme_bytes_per_s=given.nvme_bandwidth,
    )


def _tier(given: TierInput) -> FabricTier:
    return FabricTier(
        name=given.name,
        nodes=given.nodes,
        oversubscription=given.oversubscription,
        bandwidth_bytes_per_s=given.bandwidth,
        latency_s=given.latency,
    )
