"""Which nodes exchange data: for each kind of communication the pairs of nodes, how far it reaches,
and the narrowest link on its way.

Ranks are laid out as Megatron-LM does (`parallel_state.RankGenerator`): the leftmost axis of the
order varies fastest, and experts have a grid of their own over the same ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from planner.hardware.links import hops_between
from planner.schedule.registry import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from planner.hardware.links import Topology
    from planner.plan import Plan
    from planner.training.scenario import Scenario

_DENSE = {"tp": "tensor", "cp": "context", "dp": "data", "pp": "pipeline"}
_EXPERT = {"tp": "expert_tensor", "ep": "expert", "dp": "expert_data", "pp": "pipeline"}
INSIDE_NODE, INSIDE_DOMAIN, NETWORK = "inside nodes", "inside scale-up domains", "network"

MATRIX = 2048
"""Largest number of nodes for which the links of all pairs are worked out at once."""

Pair = tuple[int, int]
"""Two nodes by their positions in the job, the smaller first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One kind of communication of a plan. `group`: the ranks that take part together; `pairs`: the
    nodes that exchange something, none where it stays inside nodes; `reach`: the farthest class of
    links it uses; `narrowest`: its slowest link between nodes, bytes/s of a node, None where all of
    it stays inside nodes or scale-up domains."""

    axis: str
    group: int
    pairs: tuple[Pair, ...]
    reach: str
    narrowest_bytes_per_s: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class JobLinks:
    """Between the nodes of a job by their positions: bytes/s of a node through its network.
    `domain`: the scale-up domain of each, [K]; `order`: the node of the cluster at each, [K]."""

    domain: NDArray[np.int64]
    order: NDArray[np.int64]
    topology: Topology

    @classmethod
    def of(cls, scenario: Scenario) -> JobLinks:
        topology = scenario.topology
        order = np.array(topology.order, dtype=np.int64)
        domains = np.array([kind.domain_nodes for kind in topology.kinds])[order]
        return cls(domain=order // domains, order=order, topology=topology)

    @cached_property
    def bytes_per_s(self) -> NDArray[np.float64]:
        """[K, K]; the diagonal is no link. For jobs of a few thousand nodes."""
        rates, _ = hops_between(self.topology.kinds, self.topology.fabric, self.order)
        return rates

    def rate(self, pair: Pair) -> float:
        """The slower direction between two nodes."""
        rates, _ = hops_between(self.topology.kinds, self.topology.fabric, self.order[list(pair)])
        return float(min(rates[0, 1], rates[1, 0]))

    def cards(self, pair: Pair) -> list[float]:
        """What the network cards of two nodes reach, the slower first."""
        kinds = self.topology.kinds
        return sorted(kinds[self.order[at]].network_bytes_per_s for at in pair)

    def tier(self, pair: Pair) -> str:
        """The class of links between two nodes."""
        one, other = self.order[list(pair)].tolist()
        if self.domain[pair[0]] == self.domain[pair[1]]:
            return INSIDE_DOMAIN
        for tier in self.topology.fabric.tiers:
            if tier.nodes is None or one // tier.nodes == other // tier.nodes:
                return tier.name
        return NETWORK

    @property
    def tiers(self) -> tuple[str, ...]:
        """All classes of links, from the inside out."""
        names = [tier.name for tier in self.topology.fabric.tiers]
        return (INSIDE_NODE, INSIDE_DOMAIN, *names, *([] if names else [NETWORK]))


def stages_of_ranks(plan: Plan) -> NDArray[np.int64]:
    """[devices]: the stage that every rank holds."""
    stride, size = strides(plan)["pipeline"]
    return np.arange(plan.degrees.devices) // stride % size


def strides(plan: Plan) -> dict[str, tuple[int, int]]:
    """Of every axis of the two grids, how many ranks apart its neighbours are, and its size."""
    sizes = {
        axis: getattr(plan.degrees, axis)
        for axis in ("tensor", "context", "data", "pipeline", "expert", "expert_tensor")
    }
    sizes["expert_data"] = plan.degrees.expert_data
    found: dict[str, tuple[int, int]] = {}
    for grid in (_EXPERT, _DENSE):
        stride = 1
        for token in plan.placement.order.split("-"):
            if token in grid:
                found[grid[token]] = (stride, sizes[grid[token]])
                stride *= sizes[grid[token]]
    return found


def traffic(scenario: Scenario, plan: Plan) -> tuple[Traffic, ...]:
    """Every kind of communication that a plan has, on its own hosts. Collectives are rings, and
    the experts' all-to-all reaches every pair of its group."""
    placed = scenario.running(plan)
    links, layout = JobLinks.of(placed), strides(plan)
    looped = plan.virtual_stages > 1 and kind_of(plan.schedule).returns_to_first
    shapes = {
        "tensor": _ring,
        "context": _ring,
        "expert": _every_pair,
        "pipeline": _ring if looped else _chain,
        "data": _ring,
    }
    return tuple(
        _traffic(axis, links, size, set(shape(placed.topology, stride, size)))
        for axis, shape in shapes.items()
        for stride, size in [layout[axis]]
        if size > 1
    )


def _traffic(axis: str, links: JobLinks, size: int, found: set[Pair]) -> Traffic:
    pairs = sorted(found)
    outside = [pair for pair in pairs if links.domain[pair[0]] != links.domain[pair[1]]]
    order = links.tiers
    reach = max(map(links.tier, pairs), key=order.index, default=INSIDE_NODE)
    narrowest = min(_rates(links, outside), default=None)
    return Traffic(
        axis=axis,
        group=size,
        pairs=tuple(pairs),
        reach=reach,
        narrowest_bytes_per_s=narrowest,
    )


def _rates(links: JobLinks, pairs: Sequence[Pair]) -> Iterator[float]:
    """The slower direction of each pair; links between equal nodes in equal positions are looked up
    once."""
    if links.topology.nodes <= MATRIX:
        rates = np.minimum(links.bytes_per_s, links.bytes_per_s.T)
        yield from (float(rates[pair]) for pair in pairs)
    elif not links.topology.fabric.measured:
        seen = {(links.tier(pair), *links.cards(pair)): pair for pair in pairs}
        yield from map(links.rate, seen.values())
    else:
        yield from map(links.rate, pairs)


def _every_pair(topology: Topology, stride: int, size: int) -> Iterator[Pair]:
    """Positions that have a rank in the same group."""
    ranks = np.arange(topology.devices)
    member = ranks // stride % size
    order = np.lexsort((member, ranks - member * stride))
    for group in topology.nodes_of(ranks)[order].reshape(-1, size).tolist():
        yield from combinations(sorted(set(group)), 2)


def _ring(topology: Topology, stride: int, size: int) -> Iterator[Pair]:
    """Positions of neighbours in a group, including the pair of its two ends."""
    ranks = np.arange(topology.devices)
    last = ranks // stride % size + 1 == size
    yield from _apart(topology, ranks, np.where(last, ranks - (size - 1) * stride, ranks + stride))


def _chain(topology: Topology, stride: int, size: int) -> Iterator[Pair]:
    """Positions of neighbours in a group, without the pair of its two ends."""
    ranks = np.arange(topology.devices)
    ranks = ranks[ranks // stride % size + 1 < size]
    yield from _apart(topology, ranks, ranks + stride)


def _apart(
    topology: Topology, ranks: NDArray[np.int64], partners: NDArray[np.int64]
) -> Iterator[Pair]:
    """The positions of ranks and their partners, where they differ."""
    both = np.sort(np.stack((topology.nodes_of(ranks), topology.nodes_of(partners)), axis=1))
    yield from map(tuple, np.unique(both[both[:, 0] != both[:, 1]], axis=0).tolist())
