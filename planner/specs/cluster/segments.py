"""Scale-up domains as batch systems hand them out to jobs that are larger than one of them.

A job on several domains gets equally many nodes of each, a segment, so that groups of ranks do not
straddle two (Slurm `--segment`, topology/block). The size is the job's to choose; NVIDIA's launcher
takes the greatest divisor of the job's nodes that a domain holds
(NVIDIA/dgxc-benchmarking, cli/llmb-run/src/llmb_run/job_launcher.py, `_compute_segment_size`).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.specs.cluster.spec import ClusterSpec, ScaleUp


def in_segments(cluster: ClusterSpec, *, devices: int, hosts: Sequence[str] = ()) -> ClusterSpec:
    """The cluster as a job on `devices` of it finds it, with what that assumes. Nodes that segments
    leave over are not in it where the others suffice. A job that names its own `hosts`, and
    one of those nodes among them, has no segments: its groups may straddle domains."""
    group = cluster.node_groups[0]
    scale_up = group.scale_up
    if len(cluster.node_groups) != 1 or scale_up is None:
        return cluster
    domain, nodes = scale_up.nodes, -(-devices // group.devices_per_node)
    segment = _segment(scale_up, nodes)
    if segment == domain:
        return cluster
    cut = _without_rest(cluster, domain, segment, nodes)
    if cut is None:
        said = f"cluster: its domains of {domain} nodes hold too few segments of {segment}"
        return _as_listed(cluster, f"{said}; the hosts as listed, groups of ranks may straddle two")
    if hosts and not set(hosts) <= set(cut.host_names()):
        said = f"cluster: the hosts as listed, not {segment} of the {domain} nodes of each domain"
        return _as_listed(cluster, said)
    said = f"cluster: {segment} of the {domain} nodes of a scale-up domain are used (a segment)"
    segments = replace(scale_up, nodes=segment, segment=segment)
    groups = (replace(cut.node_groups[0], scale_up=segments),)
    return replace(cut, node_groups=groups, assumptions=(*cut.assumptions, said))


def _as_listed(cluster: ClusterSpec, said: str) -> ClusterSpec:
    group = cluster.node_groups[0]
    if group.scale_up is not None:
        group = replace(group, scale_up=replace(group.scale_up, segment=None))
    return replace(cluster, node_groups=(group,), assumptions=(*cluster.assumptions, said))


def _segment(scale_up: ScaleUp, nodes: int) -> int:
    """Nodes of one domain that a job of `nodes` gets."""
    domain, stated = scale_up.nodes, scale_up.segment
    if stated is not None:
        return min(stated, domain)
    if nodes <= domain:
        return domain
    return next(size for size in range(domain, 0, -1) if nodes % size == 0)


def _without_rest(
    cluster: ClusterSpec, domain: int, segment: int, nodes: int
) -> ClusterSpec | None:
    """The cluster without the nodes of each domain that segments leave over: as few segments of
    each as the job needs. None where whole domains hold too few of them. The cluster as it is
    where a tier does not hold whole domains, and where the file has no whole domains and too few
    nodes: it then lists the nodes that the job gets."""
    count = cluster.num_nodes
    if count is None:
        return cluster
    if any(tier.nodes is not None and tier.nodes % domain for tier in cluster.tiers):
        return cluster
    for used in range(segment, domain + 1, segment):
        kept = [node for node in range(count) if node % domain < used]
        if len(kept) >= nodes:
            break
    else:
        return None if count % domain == 0 else cluster
    tiers = tuple(
        tier if tier.nodes is None else replace(tier, nodes=tier.nodes // domain * used)
        for tier in cluster.tiers
    )
    return replace(only(cluster, kept), tiers=tiers)


def only(cluster: ClusterSpec, kept: Sequence[int]) -> ClusterSpec:
    """Some nodes of a cluster, in the order of `kept`, by their indices in cluster order."""
    hosts = cluster.host_names()
    new = {node: index for index, node in enumerate(kept)}
    matrix = cluster.matrix
    if matrix is not None:
        rows = tuple(tuple(matrix.bytes_per_s[a][b] for b in kept) for a in kept)
        matrix = replace(matrix, bytes_per_s=rows)
    overrides = tuple(
        replace(one, between=(new[one.between[0]], new[one.between[1]]))
        for one in cluster.overrides
        if one.between[0] in new and one.between[1] in new
    )
    owners = [group for group in cluster.node_groups for _ in range(group.count or 0)]
    groups = []
    for _, run in groupby(kept, key=lambda node: id(owners[node])):
        nodes = tuple(run)
        names = tuple(hosts[node] for node in nodes)
        groups.append(replace(owners[nodes[0]], count=len(nodes), hosts=names))
    return replace(cluster, node_groups=tuple(groups), matrix=matrix, overrides=overrides)
