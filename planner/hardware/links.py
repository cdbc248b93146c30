"""The nodes of a job in rank order, and the process groups on them.

Rank r sits on device r of the nodes laid end to end. All groups of one shape (`geometry`) are
active together.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.hardware import geometry
from planner.hardware.device import device_from_spec
from planner.hardware.fabric import fabric_from_spec
from planner.hardware.group import Group, NodeKind, Survey, aligned_survey, group_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planner.hardware.device import Device
    from planner.hardware.fabric import Fabric
    from planner.specs.cluster import ClusterSpec, NodeGroup
    from planner.specs.device import DeviceSpec

__all__ = ["Group", "Topology", "topology_from_spec"]

_RANKS_LOOKED_AT = 20_000
"""Groups on equal nodes repeat themselves: so many ranks show every case."""


class Topology:
    """The nodes of a job in rank order. Groups are worked out once and kept."""

    __slots__ = (
        "_domain_of",
        "_fabric",
        "_first",
        "_groups",
        "_kinds",
        "_order",
        "_types",
        "devices",
    )

    def __init__(self, kinds: Sequence[NodeKind], fabric: Fabric, order: Sequence[int]) -> None:
        """`kinds`, by node, and `fabric` are in cluster order; position i of the job is taken by
        node `order[i]`."""
        self._kinds = tuple(kinds)
        self._fabric = fabric
        self._order = tuple(order)
        self._domain_of = _domain_numbers(self._kinds)
        sizes = (self._kinds[node].devices_per_node for node in self._order)
        self._first = tuple(accumulate(sizes, initial=0))
        self._types = tuple(dict.fromkeys(self._kinds[node].device for node in self._order))
        self._groups: dict[tuple[int, int, bool, int | None], Group] = {}
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
        return self._types

    def node_of(self, rank: int) -> int:
        """The position of the node a rank runs on."""
        return bisect_right(self._first, rank) - 1

    def reordered(self, order: Sequence[int]) -> Topology:
        """The same nodes, position i taken by the node now at position `order[i]`."""
        return Topology(self._kinds, self._fabric, [self._order[position] for position in order])

    def group(self, size: int, stride: int, *, device: Device | None = None) -> Group:
        """Groups of `size` ranks that lie `stride` apart, all active at once, as the slowest of
        them sees it, or the slowest with such a `device` in it. Raises: InputError when such a
        group does not fit."""
        key = (size, stride, False, self._type_index(device))
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = self._work_out_group(size, stride, device)
        return found

    def pair(self, stride: int, *, device: Device | None = None) -> Group:
        """Every rank sends to the rank `stride` further on, as the slowest of them sees it, or
        the slowest with such a `device`. Raises: InputError when no rank has such a partner."""
        key = (2, stride, True, self._type_index(device))
        found = self._groups.get(key)
        if found is None:
            self._check_fits(2, stride)
            limit = self._pairs_that_differ(stride) if self.uniform else None
            found_pairs = self._with(device, geometry.pairs(self.devices, stride, limit=limit))
            survey = self._survey(found_pairs, self._apart(stride), active=stride)
            found = self._groups[key] = group_from(2, survey)
        return found

    def _pairs_that_differ(self, stride: int) -> int:
        """Pairs after which equal nodes repeat themselves; tiers may need a longer look."""
        if self._fabric.tiers:
            return _RANKS_LOOKED_AT
        kind = self._kinds[0]
        return stride + kind.devices_per_node * kind.domain_nodes

    def between(self, sender: int, receiver: int, *, active: int) -> Group:
        """Two ranks, while `active` devices of a node use its network cards."""
        return self.among((sender, receiver), active=active)

    def among(self, ranks: Sequence[int], *, active: int | None = None) -> Group:
        """These ranks, while `active` devices of a node (all by default) use its network cards."""
        apart = self._apart(abs(ranks[1] - ranks[0]) if len(ranks) > 1 else 1)
        return group_from(len(ranks), self._survey([ranks], apart, active=active))

    def _type_index(self, device: Device | None) -> int | None:
        """None where all devices are of one type."""
        return None if device is None or len(self._types) == 1 else self._types.index(device)

    def _with(
        self, device: Device | None, groups: Iterable[Sequence[int]]
    ) -> Iterable[Sequence[int]]:
        """Those of the groups that have a device of this type in them, all where none has."""
        if self._type_index(device) is None:
            return groups
        known = list(groups)
        return [ranks for ranks in known if any(self.device(r) == device for r in ranks)] or known

    def _work_out_group(self, size: int, stride: int, device: Device | None) -> Group:
        self._check_fits(size, stride)
        if self.uniform and not self._fabric.tiers:
            kind = self._kinds[0]
            domain_devices = kind.devices_per_node * kind.domain_nodes
            spread = geometry.aligned_domains(size, stride, domain_devices)
            if spread is not None:
                return group_from(size, aligned_survey(kind, size * stride, *spread))
        per_node = math.gcd(stride, *{kind.devices_per_node for kind in self._kinds})
        whole_nodes = all(kind.devices_per_node == per_node for kind in self._kinds)
        found = geometry.groups(
            self.devices,
            size,
            stride,
            alike=per_node if whole_nodes else 1,
            limit=_RANKS_LOOKED_AT if self.uniform else None,
        )
        survey = self._survey(self._with(device, found), self._apart(stride), active=None)
        return group_from(size, survey)

    def _survey(self, groups: Iterable[Sequence[int]], apart: int, *, active: int | None) -> Survey:
        """The worst of `groups`, whose members lie `apart` nodes apart, while `active` devices of
        a node (all by default) use its network."""
        survey = Survey(kinds=set())
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
        self, nodes: Sequence[int], survey: Survey, apart: int, active: int | None
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
    types: list[tuple[DeviceSpec, Device]] = []
    for group in sized.node_groups:
        nodes = group.count or 0
        per_node = min(group.devices_per_node, devices) if nodes == 1 else group.devices_per_node
        known = [device for spec, device in types if spec == group.device]
        device = known[0] if known else device_from_spec(group.device)
        types.append((group.device, device))
        kinds.extend([_kind_from_spec(group, device, per_node)] * nodes)
    return Topology(kinds, fabric_from_spec(sized), range(len(kinds)))


def _kind_from_spec(group: NodeGroup, device: Device, devices_per_node: int) -> NodeKind:
    fast, domain, network = group.intra_node, group.scale_up, group.network
    step_s = device.links.step_s if fast.latency_s is None else fast.latency_s
    network_step_s = device.links.network_step_s
    if network is not None and network.latency_s is not None:
        network_step_s = network.latency_s
    domain_step_s = step_s if domain is None or domain.latency_s is None else domain.latency_s
    return NodeKind(
        device=device,
        devices_per_node=devices_per_node,
        wired_devices=group.devices_per_node,
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
