"""The nodes of a job in rank order, and the process groups on them.

Rank r sits on device r of the nodes laid end to end. All groups of one shape (`geometry`) are
active together.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import InputError
from planner.hardware import geometry
from planner.hardware.group import NodeKind, ProcessGroup, Survey, aligned_survey, group_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from planner.hardware.device import Device
    from planner.hardware.fabric import Fabric, Hop

__all__ = ["ProcessGroup", "Topology"]

_RANKS_LOOKED_AT = 20_000
"""Groups on equal nodes repeat themselves: this many ranks show every case."""


class Topology:
    """The nodes of a job in rank order. Groups are worked out once and kept."""

    __slots__ = (
        "_domain_of",
        "_first",
        "_groups",
        "_node_of_rank",
        "_pairs",
        "_types",
        "devices",
        "fabric",
        "kinds",
        "order",
        "trees",
        "uniform",
    )

    def __init__(
        self,
        kinds: Sequence[NodeKind],
        fabric: Fabric,
        order: Sequence[int],
        *,
        trees: bool = True,
    ) -> None:
        """`kinds`, by node, and `fabric` are in cluster order; node `order[i]` takes position i of
        the job. `trees`: whether the collective library may run over trees."""
        self.kinds = tuple(kinds)
        self.fabric = fabric
        self.order = tuple(order)
        self.trees = trees
        self._domain_of = _domain_numbers(self.kinds)
        sizes = (self.kinds[node].devices_per_node for node in self.order)
        self._first = tuple(accumulate(sizes, initial=0))
        self._types = tuple(dict.fromkeys(self.kinds[node].device for node in self.order))
        self._groups: dict[tuple[object, ...], ProcessGroup] = {}
        self._node_of_rank: list[int] = []
        """Worked out when it is first needed."""
        self._pairs: dict[tuple[object, ...], ProcessGroup] = {}
        """Pairs of ranks by their nodes, on every order of these."""
        self.devices: int = self._first[-1]
        self.uniform: bool = not fabric.measured and len({kinds[node] for node in order}) == 1
        """Whether all nodes of the job are alike and no link was measured to differ."""

    @property
    def nodes(self) -> int:
        return len(self.order)

    @property
    def symmetric(self) -> bool:
        """Whether all groups of one shape are alike: nodes are equal, on one network, and scale-up
        domains, if any, are used from the first on."""
        alone = self.kinds[self.order[0]].domain_nodes == 1
        aligned = alone or self.order == tuple(range(len(self.order)))
        return self.uniform and not self.fabric.tiers and aligned

    @property
    def cluster_kinds(self) -> tuple[NodeKind, ...]:
        """The cluster's nodes, as many as there are."""
        return self.kinds

    def device(self, rank: int) -> Device:
        """The device a rank runs on."""
        return self.kinds[self._node(rank)].device

    def device_types(self) -> tuple[Device, ...]:
        """The different devices of the job, in rank order."""
        return self._types

    def node_of(self, rank: int) -> int:
        """The position of the node a rank runs on."""
        return bisect_right(self._first, rank) - 1

    def nodes_of(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The positions of the nodes that ranks run on."""
        return np.searchsorted(self._first, ranks, side="right") - 1

    def offsets(self, count: int) -> NDArray[np.int64]:
        """Rank offsets within a stage that cover every distinct link to the next stage: the first
        and the last of `devices` on a symmetric topology."""
        return np.array(sorted({0, count - 1})) if self.symmetric else np.arange(count)

    def ranks_of(self, position: int) -> range:
        """The ranks on the node at a position."""
        return range(self._first[position], self._first[position + 1])

    def ordered(self, order: Sequence[int]) -> Topology:
        """The same cluster with node `order[i]` at position i."""
        other = Topology(self.kinds, self.fabric, order, trees=self.trees)
        if type(self) is Topology:
            other._pairs = self._pairs
        return other

    def group(self, size: int, stride: int, *, device: Device | None = None) -> ProcessGroup:
        """What the slowest group of `size` ranks that lie `stride` apart sees, while all such
        groups are active. With `device`, only groups that have a rank on such a device count.

        Raises: InputError when such a group does not fit.
        """
        key = (size, stride, self._type_index(device))
        return self._found(key, size, stride, range(self.devices), device)

    def stage_groups(self, size: int, stride: int, stages: int) -> tuple[ProcessGroup, ...]:
        """The same for each of `stages` equal parts of the ranks: the slowest group inside each
        part."""
        each = self.devices // stages
        if self.symmetric or stages == 1:
            return (self.group(size, stride),) * stages
        return tuple(
            self._found((size, stride, first, each), size, stride, range(first, first + each), None)
            for first in range(0, self.devices, each)
        )

    def _found(
        self, key: tuple[object, ...], size: int, stride: int, ranks: range, device: Device | None
    ) -> ProcessGroup:
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = self._work_out_group(size, stride, ranks, device)
        return found

    def pair(
        self, stride: int, *, device: Device | None = None, active: int | None = None
    ) -> ProcessGroup:
        """What the slowest pair sees when every rank sends to the rank `stride` further on, while
        `active` devices of a node (at most `stride`) use its network cards. With `device`, only
        pairs with such a device count. Raises: InputError when no rank has such a partner."""
        key = ("pair", stride, self._type_index(device), active)
        found = self._groups.get(key)
        if found is None:
            self._check_fits(2, stride, self.devices)
            limit = self._pairs_that_differ(stride) if self.uniform else None
            found_pairs = geometry.pairs(self.devices, stride, limit=limit)
            nodes = self._different_nodes(found_pairs, device)
            survey = self._survey(nodes, self._apart(stride), active=active or stride)
            found = self._groups[key] = group_from(2, survey, trees=self.trees)
        return found

    def _pairs_that_differ(self, stride: int) -> int:
        """Pairs up to the point where equal nodes repeat themselves; tiers may need more of
        them."""
        if self.fabric.tiers:
            return _RANKS_LOOKED_AT
        kind = self.kinds[self.order[0]]
        period = kind.devices_per_node * kind.domain_nodes
        return period if self.symmetric else stride + period

    def between(self, sender: int, receiver: int, *, active: int) -> ProcessGroup:
        """The link between two ranks, while `active` devices of a node use its network cards."""
        return self.among((sender, receiver), active=active)

    def among(self, ranks: Sequence[int], *, active: int | None = None) -> ProcessGroup:
        """The group of these ranks, while `active` devices of a node (all by default) use its
        network cards."""
        apart = self._apart(abs(ranks[1] - ranks[0]) if len(ranks) > 1 else 1)
        nodes = [self._node(rank) for rank in ranks]
        if len(ranks) != 2:
            survey = self._survey([nodes], apart, active=active)
            return group_from(len(ranks), survey, trees=self.trees)
        one, other = nodes
        key: tuple[object, ...] = (one, other, apart, active)
        if self.symmetric:
            alike = (one == other, self._domain_of[one] == self._domain_of[other])
            key = ("alike", *alike, apart, active)
        found = self._pairs.get(key)
        if found is None:
            survey = self._survey([nodes], apart, active=active)
            found = self._pairs[key] = group_from(2, survey, trees=self.trees)
        return found

    def _type_index(self, device: Device | None) -> int | None:
        """None where all devices are of one type."""
        return None if device is None or len(self._types) == 1 else self._types.index(device)

    def _different_nodes(
        self, groups: Iterable[Sequence[int]], device: Device | None
    ) -> list[tuple[int, ...]]:
        """The nodes of the ranks of groups, in cluster order, where groups on the same nodes count
        once: of those that have a device of this type in them; of all groups where none has."""
        if not self._node_of_rank:
            sizes = [self.kinds[node].devices_per_node for node in self.order]
            self._node_of_rank = np.repeat(self.order, sizes).tolist()
        node_of = self._node_of_rank.__getitem__
        different = list(dict.fromkeys(tuple(map(node_of, ranks)) for ranks in groups))
        if self._type_index(device) is None:
            return different
        has_it = {node for node in set(self.order) if self.kinds[node].device == device}
        return [nodes for nodes in different if not has_it.isdisjoint(nodes)] or different

    def _work_out_group(
        self, size: int, stride: int, ranks: range, device: Device | None
    ) -> ProcessGroup:
        self._check_fits(size, stride, len(ranks))
        limit = _RANKS_LOOKED_AT if self.uniform else None
        if self.symmetric:
            kind = self.kinds[self.order[0]]
            domain_devices = kind.devices_per_node * kind.domain_nodes
            spread = geometry.aligned_domains(size, stride, domain_devices)
            if spread is not None:
                survey = self._aligned(size * stride, *spread)
                return group_from(size, survey, trees=self.trees)
            limit = min(_RANKS_LOOKED_AT, math.lcm(size * stride, domain_devices))
        sizes = {self.kinds[node].devices_per_node for node in self.order}
        per_node = math.gcd(stride, *sizes)
        whole_nodes = sizes == {per_node}
        found = geometry.groups(
            ranks,
            size,
            stride,
            alike=per_node if whole_nodes else 1,
            limit=limit,
        )
        nodes = self._different_nodes(found, device)
        survey = self._survey(nodes, self._apart(stride), active=None)
        return group_from(size, survey, trees=self.trees)

    def _aligned(self, span: int, domains: int, local: int) -> Survey:
        return aligned_survey(self.kinds[self.order[0]], span, domains, local)

    def _survey(self, groups: Iterable[Sequence[int]], apart: int, *, active: int | None) -> Survey:
        """The worst of `groups`, given by the node of every rank, whose members lie `apart` nodes
        apart. Meanwhile `active` devices of a node (all by default) use its network."""
        survey = Survey(kinds=set())
        for nodes in groups:
            survey.kinds.update(self.kinds[node] for node in nodes)
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
        """Add the hops of one ring between domains to a survey. The devices that share the cards
        of a node at either end share its rate; the slower share, as reached, counts."""
        around_s = 0.0
        for sender, receiver in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
            if self._domain_of[sender] == self._domain_of[receiver]:
                continue
            one, other = self.kinds[sender], self.kinds[receiver]
            for kind in (one,) if one is other else (one, other):
                hop = self._hop(sender, receiver, apart, kind.network_bytes_per_s)
                each = kind.devices_per_node
                share = hop.bytes_per_s / kind.sharers(min(active or each, each))
                survey.slow_to(share * kind.network_efficiency)
            survey.network_step_s = max(survey.network_step_s, hop.latency_s)
            around_s += hop.latency_s
        survey.ring_network_s = max(survey.ring_network_s, around_s)

    def hop(self, sender: int, receiver: int, apart: int = 1) -> Hop:
        """The link between two nodes in different domains, by their indices in cluster order, while
        every group whose members lie `apart` nodes apart is active."""
        ends = (self.kinds[sender], self.kinds[receiver])
        return self._hop(sender, receiver, apart, min(kind.network_bytes_per_s for kind in ends))

    def _hop(self, sender: int, receiver: int, apart: int, cards_bytes_per_s: float) -> Hop:
        """The same where the cards reach so many bytes/s."""
        return self.fabric.hop(
            sender,
            receiver,
            bytes_per_s=cards_bytes_per_s,
            latency_s=max(self.kinds[node].network_step_s for node in (sender, receiver)),
            apart=apart,
        )

    def _node(self, rank: int) -> int:
        """The node that a rank runs on, as an index in cluster order."""
        return self.order[bisect_right(self._first, rank) - 1]

    def _apart(self, stride: int) -> int:
        return max(1, stride // self.kinds[self.order[0]].devices_per_node)

    def _check_fits(self, size: int, stride: int, devices: int) -> None:
        if (size - 1) * stride >= devices:
            raise InputError(
                f"a group of {size} ranks {stride} apart does not fit on {devices} devices"
            )


def hops_between(
    kinds: Sequence[NodeKind], fabric: Fabric, nodes: NDArray[np.int64], *, apart: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bytes/s and latency from each of `nodes` to each other one, [K, K] each, while every group
    whose members lie `apart` nodes apart is active. The slower cards of the two count. `kinds` and
    `fabric` are in cluster order."""
    of_nodes = [kinds[node] for node in nodes.tolist()]
    cards = np.array([kind.network_bytes_per_s for kind in of_nodes])
    steps = np.array([kind.network_step_s for kind in of_nodes])
    return fabric.hops(
        nodes,
        bytes_per_s=np.minimum(cards[:, None], cards[None]),
        latency_s=np.maximum(steps[:, None], steps[None]),
        apart=apart,
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
