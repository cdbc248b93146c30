"""Nodes in rank order, and what a process group sees of the links between its members.

Rank r sits on device r of the nodes laid end to end. All groups of one shape (`geometry`) are
active together. A domain is what the fast fabric joins: a node, or the nodes of a scale-up domain.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.hardware import geometry
from planner.hardware.device import device_from_spec
from planner.hardware.fabric import fabric_from_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planner.hardware.device import Device
    from planner.hardware.fabric import Fabric
    from planner.specs.cluster import ClusterSpec, NodeGroup

_RANKS_LOOKED_AT = 20_000
"""Groups on equal nodes repeat themselves: so many ranks show every case."""
_LANES = 8
"""Members of one domain that carry a ring's traffic to other domains. All-reduce over 2 and over
20 racks of 72 devices moves the same 8 x 50 GB/s out of each rack (coreweave/nccl-tests README,
GB200)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What one process group sees. Rates are what the collective library reaches, in bytes/s.

        At most `local` members share one of the `domains` it spans; `groups_per_node` equal groups
        share the network cards of a node. `fast_bytes_per_s` is of one member inside its domain
    (`copy_bytes_per_s` if all links of the device helped),
        `network_bytes_per_s` of the members of one domain together, around a ring, and
        `member_network_bytes_per_s` of one member. `network_step_s` is the slowest step between
        domains, `ring_network_s` all of them once around. No in-switch reduction: rate 0.
    """

    size: int
    local: int
    domains: int
    groups_per_node: int
    launch_s: float
    ramp_s: float
    fast_bytes_per_s: float
    copy_bytes_per_s: float
    fast_step_s: float
    all_to_all_efficiency: float
    send_efficiency: float
    reduction_bytes_per_s: float
    reduction_launch_s: float
    network_bytes_per_s: float
    member_network_bytes_per_s: float
    network_step_s: float
    ring_network_s: float

    @property
    def inside(self) -> bool:
        """Whether the group never leaves the fast fabric."""
        return self.domains == 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeKind:
    """The nodes of one node group. Bandwidth as the cluster file states it, in bytes/s: of one
    device inside the node and inside the scale-up domain, of all the network cards together."""

    device: Device
    devices_per_node: int
    domain_nodes: int
    node_bytes_per_s: float
    node_step_s: float
    domain_bytes_per_s: float
    domain_step_s: float
    cards: int
    network_bytes_per_s: float
    network_step_s: float

    def sharers(self, active: int) -> int:
        """Among how many the network bandwidth of a node is divided while `active` of its devices
        use it: a device alone reaches only the cards next to it."""
        return max(active, min(self.cards, self.devices_per_node))


@dataclass(slots=True, kw_only=True)
class _Survey:
    """The worst of all groups of one shape."""

    kinds: set[NodeKind]
    domains: int = 1
    most: int = 1
    fewest: int = 0
    leaves_node: bool = False
    member_bytes_per_s: float = float("inf")
    network_step_s: float = 0.0
    ring_network_s: float = 0.0


class Topology:
    """The nodes of a job in rank order. Groups are worked out once and kept."""

    __slots__ = ("_domain_of", "_fabric", "_first", "_groups", "_kinds", "_order", "devices")

    def __init__(self, kinds: Sequence[NodeKind], fabric: Fabric, order: Sequence[int]) -> None:
        """`kinds`, by node, and `fabric` are in cluster order; position i of the job is taken by
        node `order[i]`."""
        self._kinds = tuple(kinds)
        self._fabric = fabric
        self._order = tuple(order)
        self._domain_of = _domain_numbers(self._kinds)
        sizes = (self._kinds[node].devices_per_node for node in self._order)
        self._first = tuple(accumulate(sizes, initial=0))
        self._groups: dict[tuple[int, int, bool], Group] = {}
        self.devices: int = self._first[-1]

    @property
    def nodes(self) -> int:
        return len(self._order)

    @property
    def uniform(self) -> bool:
        """Whether all nodes are alike and no link was measured to differ."""
        return len(set(self._kinds)) == 1 and not self._fabric.measured

    def device(self, rank: int) -> Device:
        """The device a rank runs on."""
        return self._kinds[self._node(rank)].device

    def device_types(self) -> tuple[Device, ...]:
        """The different devices of the job, in rank order."""
        return tuple(dict.fromkeys(self._kinds[node].device for node in self._order))

    def node_of(self, rank: int) -> int:
        """The position of the node a rank runs on."""
        return bisect_right(self._first, rank) - 1

    def reordered(self, order: Sequence[int]) -> Topology:
        """The same nodes, position i taken by the node now at position `order[i]`."""
        return Topology(self._kinds, self._fabric, [self._order[position] for position in order])

    def group(self, size: int, stride: int) -> Group:
        """Groups of `size` ranks that lie `stride` apart, all active at once, as the slowest of
        them sees it. Raises: InputError when such a group does not fit."""
        key = (size, stride, False)
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = self._work_out_group(size, stride)
        return found

    def pair(self, stride: int) -> Group:
        """Every rank sends to the rank `stride` further on, as the slowest of them sees it.
        Raises: InputError when no rank has such a partner."""
        key = (2, stride, True)
        found = self._groups.get(key)
        if found is None:
            self._check_fits(2, stride)
            limit = _RANKS_LOOKED_AT if self.uniform else None
            found_pairs = geometry.pairs(self.devices, stride, limit=limit)
            survey = self._survey(found_pairs, self._apart(stride), active=stride)
            found = self._groups[key] = _group_from(2, survey)
        return found

    def between(self, sender: int, receiver: int, *, active: int) -> Group:
        """Two ranks, while `active` devices of a node use its network cards."""
        apart = self._apart(abs(receiver - sender))
        return _group_from(2, self._survey([(sender, receiver)], apart, active=active))

    def _work_out_group(self, size: int, stride: int) -> Group:
        self._check_fits(size, stride)
        if self.uniform and not self._fabric.tiers:
            kind = self._kinds[0]
            domain_devices = kind.devices_per_node * kind.domain_nodes
            spread = geometry.aligned_domains(size, stride, domain_devices)
            if spread is not None:
                return _group_from(size, _aligned_survey(kind, size * stride, *spread))
        limit = _RANKS_LOOKED_AT if self.uniform else None
        found = geometry.groups(self.devices, size, stride, limit=limit)
        return _group_from(size, self._survey(found, self._apart(stride), active=None))

    def _survey(
        self, groups: Iterable[Sequence[int]], apart: int, *, active: int | None
    ) -> _Survey:
        """The worst of `groups`, whose members lie `apart` nodes apart, while `active` devices of
        a node (all by default) use its network."""
        survey = _Survey(kinds=set())
        for ranks in groups:
            nodes = [self._node(rank) for rank in ranks]
            survey.kinds.update(self._kinds[node] for node in nodes)
            survey.leaves_node |= len(set(nodes)) > 1
            members: dict[int, int] = {}
            for node in nodes:
                domain = self._domain_of[node]
                members[domain] = members.get(domain, 0) + 1
            survey.domains = max(survey.domains, len(members))
            survey.most = max(survey.most, *members.values())
            if len(members) > 1:
                fewest = min(members.values())
                survey.fewest = min(survey.fewest or fewest, fewest)
                self._survey_ring(nodes, survey, apart, active)
        return survey

    def _survey_ring(
        self, nodes: Sequence[int], survey: _Survey, apart: int, active: int | None
    ) -> None:
        """Adds the hops of one ring between domains to a survey."""
        around_s = 0.0
        for sender, receiver in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
            if self._domain_of[sender] == self._domain_of[receiver]:
                continue
            ends = (self._kinds[sender], self._kinds[receiver])
            hop = self._fabric.hop(
                sender,
                receiver,
                bytes_per_s=min(kind.network_bytes_per_s for kind in ends),
                latency_s=max(kind.network_step_s for kind in ends),
                apart=apart,
            )
            sharers = max(
                kind.sharers(min(active or kind.devices_per_node, kind.devices_per_node))
                for kind in ends
            )
            survey.member_bytes_per_s = min(survey.member_bytes_per_s, hop.bytes_per_s / sharers)
            survey.network_step_s = max(survey.network_step_s, hop.latency_s)
            around_s += hop.latency_s
        survey.ring_network_s = max(survey.ring_network_s, around_s)

    def _node(self, rank: int) -> int:
        """The node a rank runs on, by its index in cluster order."""
        return self._order[bisect_right(self._first, rank) - 1]

    def _apart(self, stride: int) -> int:
        return max(1, stride // self._kinds[self._order[0]].devices_per_node)

    def _check_fits(self, size: int, stride: int) -> None:
        if (size - 1) * stride >= self.devices:
            raise InputError(
                f"a group of {size} ranks {stride} apart does not fit on {self.devices} devices"
            )


def topology_from_spec(cluster: ClusterSpec, *, devices: int) -> Topology:
    """The first `devices` devices of a cluster, nodes in file order.

    Raises: InputError when the cluster has fewer, or a node would be used in part.
    """
    sized = cluster.sized(devices=devices)
    kinds: list[NodeKind] = []
    for group in sized.node_groups:
        nodes = group.count or 0
        per_node = min(group.devices_per_node, devices) if nodes == 1 else group.devices_per_node
        kinds.extend([_kind_from_spec(group, per_node)] * nodes)
    return Topology(kinds, fabric_from_spec(sized), range(len(kinds)))


def _kind_from_spec(group: NodeGroup, devices_per_node: int) -> NodeKind:
    device = device_from_spec(group.device)
    fast, domain, network = group.intra_node, group.scale_up, group.network
    step_s = device.links.step_s if fast.latency_s is None else fast.latency_s
    network_step_s = device.links.network_step_s
    if network is not None and network.latency_s is not None:
        network_step_s = network.latency_s
    domain_step_s = step_s if domain is None or domain.latency_s is None else domain.latency_s
    return NodeKind(
        device=device,
        devices_per_node=devices_per_node,
        domain_nodes=1 if domain is None else domain.nodes,
        node_bytes_per_s=fast.bandwidth_bytes_per_s,
        node_step_s=step_s,
        domain_bytes_per_s=(
            fast.bandwidth_bytes_per_s if domain is None else domain.bandwidth_bytes_per_s
        ),
        domain_step_s=domain_step_s,
        cards=1 if network is None else network.cards,
        network_bytes_per_s=0.0 if network is None else network.node_bytes_per_s,
        network_step_s=network_step_s,
    )


def _domain_numbers(kinds: Sequence[NodeKind]) -> tuple[int, ...]:
    """The domain of each node: neighbours of one node group, `domain_nodes` at a time."""
    numbers: list[int] = []
    number, room, previous = -1, 0, None
    for kind in kinds:
        if kind is not previous or room == 0:
            number += 1
            room = kind.domain_nodes
        room -= 1
        previous = kind
        numbers.append(number)
    return tuple(numbers)


def _aligned_survey(kind: NodeKind, span: int, domains: int, local: int) -> _Survey:
    """What `_survey` finds on equal nodes without tiers, where all groups lie alike."""
    return _Survey(
        kinds={kind},
        domains=domains,
        most=local,
        fewest=local if domains > 1 else 0,
        leaves_node=span > kind.devices_per_node,
        member_bytes_per_s=kind.network_bytes_per_s / kind.sharers(kind.devices_per_node),
        network_step_s=kind.network_step_s,
        ring_network_s=domains * kind.network_step_s,
    )


def _group_from(size: int, survey: _Survey) -> Group:
    """The library's rates on the links found; of different devices the slowest counts."""
    links = [kind.device.links for kind in survey.kinds]
    per_node = max(kind.devices_per_node for kind in survey.kinds)
    crosses = survey.domains > 1
    member_bytes_per_s = 0.0
    if crosses:
        efficiency = min(constants.inter_node_efficiency for constants in links)
        member_bytes_per_s = survey.member_bytes_per_s * efficiency
    return Group(
        size=size,
        local=survey.most,
        domains=survey.domains,
        groups_per_node=per_node // min(survey.most, per_node),
        launch_s=max(constants.launch_s for constants in links),
        ramp_s=max(constants.ramp_s for constants in links),
        fast_bytes_per_s=min(_fast_bytes_per_s(kind, survey) for kind in survey.kinds),
        copy_bytes_per_s=min(_device_bytes_per_s(kind, survey) for kind in survey.kinds),
        fast_step_s=max(
            kind.domain_step_s if survey.leaves_node else kind.node_step_s for kind in survey.kinds
        ),
        all_to_all_efficiency=min(constants.all_to_all_efficiency for constants in links),
        send_efficiency=min(constants.send_efficiency for constants in links),
        reduction_bytes_per_s=min(_reduction_bytes_per_s(kind, survey) for kind in survey.kinds),
        reduction_launch_s=max(constants.reduction_launch_s for constants in links),
        network_bytes_per_s=min(survey.fewest, _LANES) * member_bytes_per_s,
        member_network_bytes_per_s=member_bytes_per_s,
        network_step_s=survey.network_step_s if crosses else 0.0,
        ring_network_s=survey.ring_network_s if crosses else 0.0,
    )


def _link_bytes_per_s(kind: NodeKind, survey: _Survey) -> float:
    return kind.domain_bytes_per_s if survey.leaves_node else kind.node_bytes_per_s


def _device_bytes_per_s(kind: NodeKind, survey: _Survey) -> float:
    return _link_bytes_per_s(kind, survey) * kind.device.links.intra_node_efficiency


def _fast_bytes_per_s(kind: NodeKind, survey: _Survey) -> float:
    """Of one member inside its domain. Without a switch only the links to other members help."""
    bytes_per_s = _device_bytes_per_s(kind, survey)
    if kind.device.links.mesh and survey.most < kind.devices_per_node:
        return bytes_per_s * max(1, survey.most - 1) / (kind.devices_per_node - 1)
    return bytes_per_s


def _reduction_bytes_per_s(kind: NodeKind, survey: _Survey) -> float:
    return _link_bytes_per_s(kind, survey) * kind.device.links.reduction_efficiency
