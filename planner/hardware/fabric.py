"""The network between nodes: its tiers, and the measured links that differ from them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from planner.specs.cluster.spec import ClusterSpec, FabricTier


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A link from one node to another: bytes/s of the sending node, seconds of one message step."""

    bytes_per_s: float
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredLinks:
    """Measured links by node index in cluster order, [N, N], rows send: bytes/s, and whether a link
    was measured. Entries that were not measured, the diagonal included, hold the rate of the widest
    link of the cluster: finite and above 0, so that it is safe to divide by. `known` is false
    there: do not read them."""

    bytes_per_s: NDArray[np.float64]
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Sequence[Sequence[float | None]]) -> MeasuredLinks | None:
        """None where no link was measured."""
        values = np.array(rows, dtype=np.float64)
        known = ~np.isnan(values) & ~np.eye(len(values), dtype=np.bool_)
        if not known.any():
            return None
        return cls(bytes_per_s=np.where(known, values, values[known].max()), known=known)

    def or_else(self, bytes_per_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N, N]: the measured links; the others as given."""
        return np.where(self.known, self.bytes_per_s, bytes_per_s)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fabric:
    """Links by node index in cluster order. `tiers` are listed from the inside out; without any,
    the network is non-blocking. A measured link replaces what the tiers say about it."""

    tiers: tuple[FabricTier, ...] = ()
    matrix: MeasuredLinks | None = None
    override_bytes_per_s: Mapping[tuple[int, int], float] = field(default_factory=dict)
    override_latency_s: Mapping[tuple[int, int], float] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether some links differ from what the tiers say."""
        return self.matrix is not None or bool(self.override_bytes_per_s)

    @property
    def without_measured(self) -> Fabric:
        """Only what the tiers say."""
        return replace(self, matrix=None, override_bytes_per_s={}, override_latency_s={})

    def hop(
        self, sender: int, receiver: int, *, bytes_per_s: float, latency_s: float, apart: int
    ) -> Hop:
        """The link between two nodes whose cards reach `bytes_per_s` in `latency_s`, while every
        group whose members lie `apart` nodes apart is active."""
        bytes_per_s, latency_s = self._through_tiers(
            sender, receiver, bytes_per_s, latency_s, apart
        )
        if self.matrix is not None and self.matrix.known[sender, receiver]:
            bytes_per_s = float(self.matrix.bytes_per_s[sender, receiver])
        pair = (min(sender, receiver), max(sender, receiver))
        return Hop(
            bytes_per_s=self.override_bytes_per_s.get(pair, bytes_per_s),
            latency_s=self.override_latency_s.get(pair, latency_s),
        )

    def offers(self, cards_bytes_per_s: Sequence[float]) -> list[float]:
        """For every node whose cards reach the given rate, the bandwidth of its best way out and
        back, bytes/s, the largest first: a ring of n nodes has a hop no wider than entry n − 1."""
        offers = list(cards_bytes_per_s)
        if self.matrix is not None:
            cards = np.array(cards_bytes_per_s)
            links = self.matrix.or_else(np.minimum(cards[:, None], cards))
            offers = _widest_both_ways(links).tolist()
        for node, given in enumerate(self._overrides_of(len(offers))):
            others = len(given) < len(offers) - 1
            if given:
                offers[node] = max([*given, offers[node]] if others else given)
        return sorted(offers, reverse=True)

    def _overrides_of(self, nodes: int) -> list[list[float]]:
        """For every node, the bandwidths of its links to single other nodes, bytes/s."""
        found: list[list[float]] = [[] for _ in range(nodes)]
        for pair, bytes_per_s in self.override_bytes_per_s.items():
            for node in pair:
                found[node].append(bytes_per_s)
        return found

    def best_hop(self, nodes: int, *, bytes_per_s: float, latency_s: float) -> Hop:
        """The slowest link of a ring over `nodes` nodes that lie as close together as possible."""
        tiered_bytes_per_s, tiered_s = self._through_tiers(0, nodes - 1, bytes_per_s, latency_s, 1)
        if self.matrix is None:
            bytes_per_s = max([tiered_bytes_per_s, *self.override_bytes_per_s.values()])
        return Hop(bytes_per_s=bytes_per_s, latency_s=self._least_beyond_s(nodes - 1, tiered_s))

    def least_latency_s(self, latency_s: float) -> float:
        """The shortest message step between any two nodes."""
        return self._least_beyond_s(1, self._through_tiers(0, 1, 1.0, latency_s, 1)[1])

    def _least_beyond_s(self, node: int, tiered_s: float) -> float:
        """The shortest message step between node 0 and `node`, which takes `tiered_s`, or a node
        further away: a file may state a shorter latency for a tier further out."""
        further = [
            tier.latency_s
            for tier in self.tiers
            if tier.latency_s is not None and (tier.nodes is None or node < tier.nodes)
        ]
        return min([tiered_s, *further, *self.override_latency_s.values()])

    def hops(
        self,
        nodes: NDArray[np.int64],
        *,
        bytes_per_s: NDArray[np.float64],
        latency_s: NDArray[np.float64],
        apart: int,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Bytes/s and latency of `hop` from each of `nodes` to each other one, [K, K] each.
        `bytes_per_s`, `latency_s` [K, K].

        The diagonal stands for a neighbour below the same switch. Where links were measured, no
        node has a neighbour like itself; the diagonal then holds the widest rate that the node
        reaches both ways, which is finite, above 0, and no wider than its widest link.
        """
        rates, steps = bytes_per_s.copy(), latency_s.copy()
        above = np.ones(rates.shape, dtype=np.bool_)
        below = 1
        for tier in self.tiers:
            if tier.bandwidth_bytes_per_s is not None:
                limit = np.full_like(rates, tier.bandwidth_bytes_per_s)
            else:
                leaving = tier.oversubscription * min(below, apart) / below
                limit = bytes_per_s / max(1.0, leaving)
            rates = np.where(above, np.minimum(rates, limit), rates)
            if tier.latency_s is not None:
                steps = np.where(above, tier.latency_s, steps)
            if tier.nodes is None:
                break
            below = tier.nodes
            above &= nodes[:, None] // below != nodes[None] // below
        if self.matrix is not None:
            chosen = np.ix_(nodes, nodes)
            rates = np.where(self.matrix.known[chosen], self.matrix.bytes_per_s[chosen], rates)
        place = {node: index for index, node in enumerate(nodes.tolist())}
        for table, found in (
            (self.override_bytes_per_s, rates),
            (self.override_latency_s, steps),
        ):
            for (one, other), value in table.items():
                if one in place and other in place:
                    found[place[one], place[other]] = found[place[other], place[one]] = value
        if self.matrix is not None and len(nodes) > 1:
            np.fill_diagonal(rates, _widest_both_ways(rates))
        return rates, steps

    def _through_tiers(
        self, sender: int, receiver: int, cards_bytes_per_s: float, latency_s: float, apart: int
    ) -> tuple[float, float]:
        """Rate and latency of the slowest tier on the way.

        The nodes below one switch share its uplinks, which carry all of their traffic divided by
        the oversubscription. Where members of a ring lie `apart` nodes apart, at most `apart` rings
        leave the switch.
        """
        bytes_per_s = cards_bytes_per_s
        below = 1
        for tier in self.tiers:
            if tier.bandwidth_bytes_per_s is not None:
                bytes_per_s = min(bytes_per_s, tier.bandwidth_bytes_per_s)
            else:
                leaving = tier.oversubscription * min(below, apart) / below
                bytes_per_s = min(bytes_per_s, cards_bytes_per_s / max(1.0, leaving))
            if tier.latency_s is not None:
                latency_s = tier.latency_s
            if tier.nodes is None or sender // tier.nodes == receiver // tier.nodes:
                break
            below = tier.nodes
        return bytes_per_s, latency_s


def _widest_both_ways(bytes_per_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N]: for every node, the narrower of its widest link out and its widest link back."""
    others = ~np.eye(len(bytes_per_s), dtype=np.bool_)
    out = bytes_per_s.max(axis=1, where=others, initial=0.0)
    back = bytes_per_s.max(axis=0, where=others, initial=0.0)
    return np.asarray(np.minimum(out, back))


def fabric_from_spec(cluster: ClusterSpec) -> Fabric:
    """The network a cluster file describes."""
    pairs = [(min(o.between), max(o.between), o) for o in cluster.overrides]
    return Fabric(
        tiers=cluster.tiers,
        matrix=None if cluster.matrix is None else MeasuredLinks.of(cluster.matrix.bytes_per_s),
        override_bytes_per_s={(a, b): o.bandwidth_bytes_per_s for a, b, o in pairs},
        override_latency_s={(a, b): o.latency_s for a, b, o in pairs if o.latency_s is not None},
    )
