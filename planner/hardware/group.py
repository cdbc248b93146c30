"""What one process group sees of the links between its members.

A domain is what the fast fabric joins: a node, or the nodes of a scale-up domain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.hardware.device import Device
    from planner.specs.networks import NetworkKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessGroup:
    """What one process group sees. Rates are those that the collective library reaches, in bytes/s.

    At most `local` members share one of the `domains` that the group spans; `groups_per_node` equal
    groups share the network cards of a node. `fast_bytes_per_s` is the rate of one member inside
    its domain, `copy_bytes_per_s` the rate it would have if all links of the device helped.
    `network_bytes_per_s` is the rate out of a domain, around a ring, of all its members together;
    `member_network_bytes_per_s` is that of one member. `network_step_s` is the slowest step between
    domains, `ring_network_s` the sum of those steps once around. `reduction_bytes_per_s` is 0 where
    the switches do not reduce. Without `trees` all-reduce runs around rings alone. The last five
    describe the library (`planner.specs.library`).
    """

    size: int
    trees: bool
    local: int
    domains: int
    groups_per_node: int
    launch_s: float
    ramp_s: float
    fast_bytes_per_s: float
    copy_bytes_per_s: float
    fast_step_s: float
    all_to_all_efficiency: float
    all_to_all_network: float
    network_kind: NetworkKind
    send_efficiency: float
    reduction_bytes_per_s: float
    reduction_launch_s: float
    network_bytes_per_s: float
    member_network_bytes_per_s: float
    network_step_s: float
    ring_network_s: float
    local_copy: float
    low_latency_cost: float
    tree_level_steps: float
    all_to_all_steps: float
    fewest_switch_reducers: int

    @property
    def inside(self) -> bool:
        """Whether the group stays inside the fast fabric."""
        return self.domains == 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeKind:
    """The nodes of one node group. Bandwidths are as the cluster file states them, in bytes/s: of
    one device inside the node and inside the scale-up domain, and of all network cards together. Of
    the `wired_devices` in a node, `devices_per_node` take part in the job."""

    device: Device
    devices_per_node: int
    wired_devices: int
    domain_nodes: int
    node_bytes_per_s: float
    node_step_s: float
    domain_bytes_per_s: float
    domain_step_s: float
    cards: int
    network_bytes_per_s: float
    network_step_s: float
    network: NetworkKind = "infiniband"

    def sharers(self, active: int) -> int:
        """Number of devices that share the network bandwidth of a node while `active` of its
        devices use it: a device alone reaches only the cards next to it."""
        return max(active, min(self.cards, self.wired_devices))

    @property
    def network_efficiency(self) -> float:
        """Share of the bandwidth of its network cards that the collective library reaches."""
        return self.device.links.inter_node_efficiency


@dataclass(slots=True, kw_only=True)
class Survey:
    """The worst found among the groups of one shape; rates are those that the library reaches."""

    kinds: set[NodeKind]
    domains: int = 1
    most: int = 1
    fewest: int = 0
    leaves_node: bool = False
    member_bytes_per_s: float = float("inf")
    network_step_s: float = 0.0
    ring_network_s: float = 0.0

    def slow_to(self, member_bytes_per_s: float) -> None:
        """Note a link between domains with so many bytes/s for each member."""
        self.member_bytes_per_s = min(self.member_bytes_per_s, member_bytes_per_s)


def aligned_survey(kind: NodeKind, span: int, domains: int, local: int) -> Survey:
    """What `_survey` finds on equal nodes without tiers, where all groups fall on nodes in the same
    way."""
    return Survey(
        kinds={kind},
        domains=domains,
        most=local,
        fewest=local if domains > 1 else 0,
        leaves_node=span > kind.devices_per_node,
        member_bytes_per_s=kind.network_bytes_per_s
        / kind.sharers(kind.devices_per_node)
        * kind.network_efficiency,
        network_step_s=kind.network_step_s,
        ring_network_s=domains * kind.network_step_s,
    )


def group_from(size: int, survey: Survey, *, trees: bool) -> ProcessGroup:
    """Apply the library's rates to the links found; where devices differ, the slowest counts."""
    links = [kind.device.links for kind in survey.kinds]
    per_node = max(kind.devices_per_node for kind in survey.kinds)
    crosses = survey.domains > 1
    member_bytes_per_s = survey.member_bytes_per_s if crosses else 0.0
    return ProcessGroup(
        size=size,
        trees=trees,
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
        all_to_all_network=min(constants.all_to_all_network for constants in links),
        network_kind=min(
            survey.kinds, key=lambda kind: kind.device.links.all_to_all_network
        ).network,
        send_efficiency=min(constants.send_efficiency for constants in links),
        reduction_bytes_per_s=min(_reduction_bytes_per_s(kind, survey) for kind in survey.kinds),
        reduction_launch_s=max(constants.reduction_launch_s for constants in links),
        network_bytes_per_s=min(survey.fewest, *(constants.ring_exits for constants in links))
        * member_bytes_per_s,
        member_network_bytes_per_s=member_bytes_per_s,
        network_step_s=survey.network_step_s if crosses else 0.0,
        ring_network_s=survey.ring_network_s if crosses else 0.0,
        local_copy=max(constants.local_copy for constants in links),
        low_latency_cost=max(constants.low_latency_cost for constants in links),
        tree_level_steps=max(constants.tree_level_steps for constants in links),
        all_to_all_steps=max(constants.all_to_all_steps for constants in links),
        fewest_switch_reducers=max(constants.fewest_switch_reducers for constants in links),
    )


def _link_bytes_per_s(kind: NodeKind, survey: Survey) -> float:
    return kind.domain_bytes_per_s if survey.leaves_node else kind.node_bytes_per_s


def _device_bytes_per_s(kind: NodeKind, survey: Survey) -> float:
    return _link_bytes_per_s(kind, survey) * kind.device.links.intra_node_efficiency


def _fast_bytes_per_s(kind: NodeKind, survey: Survey) -> float:
    """Rate of one member inside its domain. Without a switch, only its links to other members
    help."""
    bytes_per_s = _device_bytes_per_s(kind, survey)
    if kind.device.links.mesh and survey.most < kind.wired_devices:
        return bytes_per_s * max(1, survey.most - 1) / (kind.wired_devices - 1)
    return bytes_per_s


def _reduction_bytes_per_s(kind: NodeKind, survey: Survey) -> float:
    return _link_bytes_per_s(kind, survey) * kind.device.links.reduction_efficiency
