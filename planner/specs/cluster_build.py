"""From a cluster file to a `ClusterSpec`: devices found, hosts named, links by node index."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from planner.errors import InputError
from planner.specs.cluster import (
    BandwidthMatrix,
    ClusterSpec,
    FabricTier,
    IntraNode,
    LinkOverride,
    Network,
    NodeGroup,
    ScaleUp,
    default_hosts,
)
from planner.specs.cluster_file import (
    ClusterInput,
    LinksInput,
    MatrixInput,
    NodeGroupInput,
    OverrideInput,
    TierInput,
)
from planner.specs.device import DeviceSpec
from planner.specs.document import Document, Location, read_bytes
from planner.specs.hosts import MOST_HOSTS
from planner.specs.matrix import LARGEST_BYTES, load_matrix
from planner.specs.problems import in_order, validate
from planner.specs.source import SourceFile
from planner.specs.spelling import did_you_mean


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What a cluster file may refer to: its folder, and how device names are found."""

    folder: Path
    find_device: Callable[[str, Path], DeviceSpec]
    devices: dict[str, DeviceSpec] = field(default_factory=dict)

    def device(self, name: str) -> DeviceSpec:
        """Raises: ValueError for the reference, InputError for the content of the file."""
        if name not in self.devices:
            try:
                self.devices[name] = self.find_device(name, self.folder)
            except InputError as error:
                if error.line is not None:
                    raise
                raise ValueError(str(error)) from error
        return self.devices[name]


def build_cluster(document: Document, *, name: str, around: Surroundings) -> ClusterSpec:
    """The cluster a document describes; `name` is taken when the document gives none.

    Raises: InputError with every problem and its place.
    """
    given = validate(document, ClusterInput, context=around)
    named = [group.name or f"group-{index}" for index, group in enumerate(given.node_groups)]
    problems = [*_broken_group_rules(document, given, named), *_broken_tier_rules(document, given)]
    if problems:
        raise InputError.of(in_order(problems))
    return _Builder(document, given, named, around).cluster(given.name or name)


def _broken_group_rules(
    document: Document, given: ClusterInput, names: list[str]
) -> Iterator[InputError]:
    groups = given.node_groups
    owners: dict[str, str] = {}
    single = len(groups) == 1
    listed = any(group.hosts is not None for group in groups)
    for index, (group, name) in enumerate(zip(groups, names, strict=True)):
        at = ("node_groups", index)
        if names.index(name) < index:
            yield document.error(f"group name {name} is taken already", (*at, "name"))
        hosts = group.hosts
        if hosts is not None and group.count is not None and len(hosts) != group.count:
            yield document.error(f"{len(hosts)} hosts for a count of {group.count}", (*at, "hosts"))
        if hosts is None and listed and group.count is not None:
            hosts = default_hosts(name, group.count)
        for host in hosts or ():
            if host in owners:
                yield document.error(f"host {host} is in group {owners[host]} too", (*at, "hosts"))
                break
            owners[host] = name
        nodes = group.count or (len(hosts) if hosts else 1)
        if group.network is None and (nodes > 1 or not single):
            yield document.error("network is missing; there is more than one node", at)
    total = sum(group.count or len(group.hosts or ()) for group in groups)
    if total > MOST_HOSTS:
        yield document.error(f"{total} nodes; at most {MOST_HOSTS}", ("node_groups",))


def _broken_tier_rules(document: Document, given: ClusterInput) -> Iterator[InputError]:
    tiers = given.fabric.tiers if given.fabric else ()
    names = [tier.name for tier in tiers]
    below = 1
    for index, tier in enumerate(tiers):
        at = ("fabric", "tiers", index)
        if names.index(tier.name) < index:
            yield document.error(f"tier name {tier.name} is taken already", (*at, "name"))
        if tier.nodes is None:
            if index < len(tiers) - 1:
                yield document.error("nodes is missing; only the last tier may leave it out", at)
            continue
        if tier.nodes % below or (tier.nodes == below and index):
            yield document.error(
                f"{tier.nodes} nodes do not hold a whole number, above one, of tier "
                f"{names[index - 1]} with {below} nodes",
                (*at, "nodes"),
            )
        below = tier.nodes


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

    def cluster(self, name: str) -> ClusterSpec:
        links = self._given.links
        groups = [
            self._group(group, name)
            for group, name in zip(self._given.node_groups, self._names, strict=True)
        ]
        groups, matrix = self._with_matrix(groups, links.matrix)
        tiers = self._given.fabric.tiers if self._given.fabric else ()
        if not tiers and any(group.count != 1 for group in groups):
            self._assumptions.append("cluster: one non-blocking network tier (no fabric given)")
        cluster = ClusterSpec(
            name=name,
            node_groups=tuple(groups),
            tiers=tuple(_tier(tier) for tier in tiers),
            matrix=matrix,
            assumptions=tuple(self._assumptions),
            source=self._source(),
        )
        return replace(cluster, overrides=self._overrides(cluster, links))

    def _group(self, given: NodeGroupInput, name: str) -> NodeGroup:
        hosts = given.hosts
        count = given.count if given.count is not None else (len(hosts) if hosts else None)
        if count is None:
            self._assumptions.append(f"cluster: group {name} has as many nodes as the job needs")
        if hosts is None and count is not None:
            hosts = default_hosts(name, count)
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
            device=given.device,
            devices_per_node=given.devices_per_node,
            intra_node=IntraNode(bandwidth_bytes_per_s=inner.bandwidth, latency_s=inner.latency),
            network=None
            if network is None
            else Network(
                cards=network.cards,
                bandwidth_bytes_per_s=network.bandwidth,
                latency_s=network.latency,
            ),
            scale_up=None
            if given.scale_up is None
            else ScaleUp(
                nodes=given.scale_up.nodes,
                bandwidth_bytes_per_s=given.scale_up.bandwidth,
                latency_s=given.scale_up.latency,
            ),
            hosts=hosts,
        )

    def _with_matrix(
        self, groups: list[NodeGroup], given: MatrixInput | None
    ) -> tuple[list[NodeGroup], BandwidthMatrix | None]:
        if given is None:
            return groups, None
        path = self._around.folder / given.file
        try:
            content = load_matrix(path, unit=given.unit)
        except InputError as error:
            if error.line is not None:
                raise
            raise self._document.error(str(error), ("links", "matrix", "file")) from error
        self._matrix_sha256 = hashlib.sha256(read_bytes(path, largest=LARGEST_BYTES)).hexdigest()
        groups, order = self._matrix_order(groups, content.hosts, path)
        cards = [1] * len(order)
        if given.per == "card":
            cards = [g.network.cards if g.network else 1 for g in groups for _ in g.hosts or ()]
        rows = tuple(
            tuple(content.bytes_per_s[row][column] * cards[sender] for column in order)
            for sender, row in enumerate(order)
        )
        return groups, BandwidthMatrix(bytes_per_s=rows, path=str(path))

    def _matrix_order(
        self, groups: list[NodeGroup], header: tuple[str, ...], path: Path
    ) -> tuple[list[NodeGroup], list[int]]:
        """Groups with their hosts named, and the matrix's index of each node."""
        at = ("links", "matrix")
        listed = [group.hosts is not None for group in self._given.node_groups]
        if all(listed):
            return groups, self._listed_order(groups, header, path)
        if any(listed):
            raise self._document.error(
                "with a matrix, all groups list their hosts or none does", at
            )
        counts = [group.count for group in groups]
        if len(groups) == 1 and counts[0] is None:
            counts = [len(header)]
        if None in counts:
            raise self._document.error("with a matrix, every group needs a count or hosts", at)
        total = sum(count or 0 for count in counts)
        if total != len(header):
            raise self._document.error(
                f"{path.name} names {len(header)} hosts, the cluster has {total} nodes", at
            )
        named, start = [], 0
        for group, count in zip(groups, counts, strict=True):
            end = start + (count or 0)
            named.append(replace(group, count=count, hosts=header[start:end]))
            start = end
        return named, list(range(len(header)))

    def _listed_order(
        self, groups: list[NodeGroup], header: tuple[str, ...], path: Path
    ) -> list[int]:
        places = {host: index for index, host in enumerate(header)}
        names = [host for group in groups for host in group.hosts or ()]
        for name in names:
            if name not in places:
                hint = did_you_mean(name, header[:1000])
                raise self._document.error(
                    f"{path.name} has no host {name}", ("links", "matrix"), hint=hint
                )
        if len(names) != len(header):
            extra = next(host for host in header if host not in set(names))
            raise self._document.error(
                f"{path.name} names host {extra}, no group does", ("links", "matrix")
            )
        return [places[name] for name in names]

    def _overrides(self, cluster: ClusterSpec, links: LinksInput) -> tuple[LinkOverride, ...]:
        if not links.overrides:
            return ()
        if cluster.num_nodes is None:
            raise self._document.error(
                "overrides name nodes, so every group needs a count", ("links", "overrides")
            )
        places = {host: index for index, host in enumerate(cluster.host_names())}
        found: dict[frozenset[int], LinkOverride] = {}
        for index, override in enumerate(links.overrides):
            at = ("links", "overrides", index)
            ends = self._ends(override, places, at)
            if frozenset(ends) in found:
                raise self._document.error("this pair has an override already", (*at, "between"))
            found[frozenset(ends)] = LinkOverride(
                between=ends,
                bandwidth_bytes_per_s=override.bandwidth,
                latency_s=override.latency,
            )
        return tuple(found.values())

    def _ends(
        self, override: OverrideInput, places: dict[str, int], at: Location
    ) -> tuple[int, int]:
        ends: list[int] = []
        for position, node in enumerate(override.between):
            where = (*at, "between", position)
            if isinstance(node, str) and node not in places:
                hint = did_you_mean(node, list(places)[:1000])
                raise self._document.error(f"no node is named {node!r}", where, hint=hint)
            index = places[node] if isinstance(node, str) else node
            if not 0 <= index < len(places):
                raise self._document.error(
                    f"no node {index}; indices are 0 to {len(places) - 1}", where
                )
            ends.append(index)
        if ends[0] == ends[1]:
            raise self._document.error("a link is between two different nodes", (*at, "between"))
        return ends[0], ends[1]

    def _source(self) -> SourceFile | None:
        """The file, with one digest of everything that shaped the cluster."""
        if not self._document.sha256:
            return None
        parts = [self._document.sha256]
        parts += [one.source.sha256 for one in self._around.devices.values() if one.source]
        if self._matrix_sha256:
            parts.append(self._matrix_sha256)
        return SourceFile(path=self._document.path, sha256=combined_sha256(parts))


def combined_sha256(digests: list[str]) -> str:
    """One digest as it is; of several, the SHA-256 of their hexadecimal texts in a row."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _tier(given: TierInput) -> FabricTier:
    return FabricTier(
        name=given.name,
        nodes=given.nodes,
        oversubscription=given.oversubscription,
        bandwidth_bytes_per_s=given.bandwidth,
        latency_s=given.latency,
    )
