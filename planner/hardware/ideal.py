"""The topology no placement can beat: every group gets the best links that the cluster has for it.

Times and memory on it bound those of any order of the nodes. Scale-up domains stay whole.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from planner.hardware.best import best_kind
from planner.hardware.links import Topology

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.hardware.fabric import Fabric
    from planner.hardware.group import NodeKind, Survey


def ideal_topology(topology: Topology) -> Topology | None:
    """The topology that no order of the cluster's nodes beats; None where nodes differ in their
    devices or domains, so that an order changes which ranks share a node."""
    if len({(kind.devices_per_node, kind.domain_nodes) for kind in topology.kinds}) > 1:
        return None
    return IdealTopology(topology.kinds, topology.fabric, topology.nodes, trees=topology.trees)


class IdealTopology(Topology):
    """As many equal nodes as the job has, each the best of the cluster in every respect. A ring
    over n domains has the widest slowest hop, and the least latency, that any n have."""

    __slots__ = ("_offers", "_rings")

    def __init__(
        self, kinds: Sequence[NodeKind], fabric: Fabric, nodes: int, *, trees: bool
    ) -> None:
        """`kinds`, by node, and `fabric` are the cluster's; the job takes `nodes` of them."""
        super().__init__([best_kind(kinds)] * nodes, fabric, range(nodes), trees=trees)
        self.uniform = True
        self._offers = fabric.offers([kind.network_bytes_per_s for kind in kinds])
        self._rings: dict[int, tuple[float, float, float]] = {}

    @property
    def symmetric(self) -> bool:
        return True

    def _aligned(self, span: int, domains: int, local: int) -> Survey:
        survey = super()._aligned(span, domains, local)
        if domains > 1:
            survey.member_bytes_per_s, survey.network_step_s, survey.ring_network_s = inf, 0.0, 0.0
            self._best_ring(domains, survey, None)
        return survey

    def _survey_ring(
        self, nodes: Sequence[int], survey: Survey, apart: int, active: int | None
    ) -> None:
        self._best_ring(len({self._domain_of[node] for node in nodes}), survey, active)

    def _best_ring(self, domains: int, survey: Survey, active: int | None) -> None:
        kind = self.kinds[0]
        if domains not in self._rings:
            least_s = self.fabric.least_latency_s(kind.network_step_s)
            hop = self.fabric.best_hop(
                domains * kind.domain_nodes,
                bytes_per_s=self._offers[min(domains * kind.domain_nodes, len(self._offers)) - 1],
                latency_s=kind.network_step_s,
            )
            around_s = 2 * hop.latency_s + (domains - 2) * least_s
            self._rings[domains] = hop.bytes_per_s, hop.latency_s, around_s
        bytes_per_s, step_s, around_s = self._rings[domains]
        sharers = kind.sharers(min(active or kind.devices_per_node, kind.devices_per_node))
        survey.member_bytes_per_s = min(survey.member_bytes_per_s, bytes_per_s / sharers)
        survey.network_step_s = max(survey.network_step_s, step_s)
        survey.ring_network_s = max(survey.ring_network_s, around_s)
