"""Whether the choice and the order of nodes count. Where they do not, launchers take any nodes at
run time; where they do, the user has to name the hosts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from planner.exporters.errors import Inexpressible

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob
    from planner.specs.cluster.spec import ClusterSpec, FabricTier


def takes_any_nodes(job: ExportJob, target: str, *, in_segments: bool = False) -> bool:
    """Whether the target may leave the hosts to run time, `in_segments` of one scale-up domain each
    where it can ask for them. False: it has to start the hosts of the plan, in its order.

    Raises: Inexpressible, with the reason, where the order counts and nobody has named the hosts.
    """
    segment = segment_of(job)
    if segment is not None and (in_segments or segment == len(job.hosts)):
        return True
    reason = why_order_counts(job.cluster, nodes=len(job.hosts))
    if reason is not None and not job.listed:
        raise Inexpressible(
            target,
            "placement.hosts",
            f"{reason}, and cluster {job.cluster.name} does not name its hosts",
            hint="list hosts in the cluster file (in each node group, as in hosts: node[01-16]), "
            "or give --hosts FILE with one a line",
        )
    return any_nodes_will_do(job)


def segment_of(job: ExportJob) -> int | None:
    """Nodes that a scale-up domain has to give at a time, where nothing else makes the choice of
    nodes count and nobody has named them; None otherwise."""
    scale_up = job.cluster.node_groups[0].scale_up
    if scale_up is None or job.listed or job.named or job.reordered:
        return None
    segment, nodes = min(scale_up.nodes, len(job.hosts)), len(job.hosts)
    divides = nodes % segment == 0 and job.devices_per_host is not None
    only_reason = _why_nodes_differ(job.cluster) or _why_switches_count(
        job.cluster.tiers, job.cluster.num_nodes or 0
    )
    return segment if nodes > 1 and divides and only_reason is None else None


def any_nodes_will_do(job: ExportJob) -> bool:
    """Whether other nodes, or the same in another order, make the same plan, and the user asked
    for none of them in particular."""
    alike = why_order_counts(job.cluster, nodes=len(job.hosts)) is None
    return alike and not job.named and not job.reordered and job.devices_per_host is not None


def why_order_counts(cluster: ClusterSpec, *, nodes: int) -> str | None:
    """What makes another choice or order of this many nodes another plan; None where nothing."""
    differ = _why_nodes_differ(cluster, nodes=nodes)
    scale_up = cluster.node_groups[0].scale_up
    if differ is not None or nodes == 1:
        return differ
    if scale_up is not None and 1 < scale_up.nodes < (cluster.num_nodes or 0):
        return f"{scale_up.nodes} nodes share a scale-up domain"
    return _why_switches_count(cluster.tiers, cluster.num_nodes or 0)


def _why_nodes_differ(cluster: ClusterSpec, *, nodes: int = 2) -> str | None:
    """What tells the nodes, or the links of several, apart; None where nothing."""
    kinds = {replace(group, name="", count=None, hosts=None) for group in cluster.node_groups}
    if len(kinds) > 1:
        return f"nodes differ ({', '.join(group.name for group in cluster.node_groups)})"
    matrix = cluster.matrix if nodes > 1 else None
    if matrix is not None:
        measured = {rate for row in matrix.bytes_per_s for rate in row if rate is not None}
        if matrix.unmeasured or len(measured) > 1:
            return f"links differ ({matrix.path})"
    if cluster.overrides and nodes > 1:
        return "links differ (links.overrides)"
    return None


def _why_switches_count(tiers: tuple[FabricTier, ...], nodes: int) -> str | None:
    """The lowest tier of which the cluster has several switches with a narrower or longer way
    between them."""
    for below, above in pairwise(tiers):
        if below.nodes is None or below.nodes >= nodes:
            return None
        narrower = above.oversubscription > 1 or above.bandwidth_bytes_per_s is not None
        if narrower or above.latency_s is not None:
            return f"links of tier {above.name} are slower than those inside a {below.name}"
    return None
