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


def takes_any_nodes(job: ExportJob, target: str) -> bool:
    """Whether the target may leave the hosts to run time. False: it has to start the hosts of the
    plan, in its order.

    Raises: Inexpressible, with the reason, where the order counts and nobody has named the hosts.
    """
    reason = why_order_counts(job.cluster, nodes=len(job.hosts))
    if reason is not None and not job.listed:
        raise Inexpressible(
            target,
            "placement.hosts",
            f"{reason}, and cluster {job.cluster.name} does not name its hosts",
            hint="list hosts in the cluster file, or give --hosts FILE",
        )
    return any_nodes_will_do(job)


def any_nodes_will_do(job: ExportJob) -> bool:
    """Whether other nodes, or the same in another order, make the same plan, and the user asked
    for none of them in particular."""
    alike = why_order_counts(job.cluster, nodes=len(job.hosts)) is None
    return alike and not job.named and not job.reordered and job.devices_per_host is not None


def why_order_counts(cluster: ClusterSpec, *, nodes: int) -> str | None:
    """What makes another choice or order of this many nodes another plan; None where nothing."""
    kinds = {replace(group, name="", count=None, hosts=None) for group in cluster.node_groups}
    if len(kinds) > 1:
        return f"nodes differ ({', '.join(group.name for group in cluster.node_groups)})"
    if nodes == 1:
        return None
    matrix = cluster.matrix
    if matrix is not None:
        measured = {rate for row in matrix.bytes_per_s for rate in row if rate is not None}
        if matrix.unmeasured or len(measured) > 1:
            return f"links differ ({matrix.path})"
    if cluster.overrides:
        return "links differ (links.overrides)"
    scale_up = cluster.node_groups[0].scale_up
    if scale_up is not None and 1 < scale_up.nodes < (cluster.num_nodes or 0):
        return f"{scale_up.nodes} nodes share a scale-up domain"
    return _why_switches_count(cluster.tiers, cluster.num_nodes or 0)


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
