"""Nodes of a cluster where nodes differ in size: those that compute most, and those of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.specs.cluster.segments import only

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.specs.cluster.spec import ClusterSpec, NodeGroup


def fastest_nodes(cluster: ClusterSpec, nodes: int, precision: str) -> ClusterSpec:
    """The `nodes` nodes whose devices compute most together in a number format, in cluster order.

    The cluster itself where all nodes have equally many devices, so that any of them hold the same
    job; where it has no more nodes, or does not say how many; and where nodes share switches or
    scale-up domains, which would fall apart.
    """
    sizes = {group.devices_per_node for group in cluster.node_groups}
    stated = cluster.num_nodes
    if stated is None or stated <= nodes or len(sizes) == 1 or _joined(cluster):
        return cluster
    flops = [
        _node_flop_per_s(group, precision)
        for group in cluster.node_groups
        for _ in range(group.count or 0)
    ]
    fastest = sorted(range(stated), key=lambda node: (-flops[node], node))[:nodes]
    return only(cluster, sorted(fastest))


def nodes_of_plan_first(cluster: ClusterSpec, hosts: Sequence[str]) -> ClusterSpec:
    """The cluster with the nodes that a plan names as its `hosts` before the others, where the
    first nodes in the order of the file may hold another number of devices; the cluster itself
    where they do not, or where it lacks one of them (`fastest_nodes` has the cases)."""
    sizes = {group.devices_per_node for group in cluster.node_groups}
    if cluster.num_nodes is None or len(sizes) == 1 or not hosts or _joined(cluster):
        return cluster
    position = {name: node for node, name in enumerate(cluster.host_names())}
    if not position.keys() >= set(hosts):
        return cluster
    named = sorted(position[name] for name in hosts)
    others = sorted(set(position.values()) - set(named))
    return only(cluster, [*named, *others])


def _node_flop_per_s(group: NodeGroup, precision: str) -> float:
    return group.devices_per_node * group.device.peak.by_format().get(precision, 0.0)


def _joined(cluster: ClusterSpec) -> bool:
    domains = (group.scale_up for group in cluster.node_groups)
    return any(tier.nodes is not None for tier in cluster.tiers) or any(
        domain is not None and domain.nodes > 1 for domain in domains
    )
