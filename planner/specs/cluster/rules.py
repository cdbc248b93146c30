"""Rules of a cluster file that concern several of its keys."""

from __future__ import annotations

from collections.abc import Iterator

from planner.errors import InputError
from planner.specs.cluster.file import ClusterInput
from planner.specs.cluster.hostlist import MOST_HOSTS
from planner.specs.cluster.spec import default_hosts
from planner.specs.files.document import Document
from planner.specs.names import check_host
from planner.specs.unpriced import why_unpriced


def broken_group_rules(
    document: Document, given: ClusterInput, names: list[str]
) -> Iterator[InputError]:
    groups = given.node_groups
    owners: dict[str, str] = {}
    single = len(groups) == 1
    listed = any(group.hosts is not None for group in groups)
    for index, (group, name) in enumerate(zip(groups, names, strict=True)):
        at = ("node_groups", index)
        if names.index(name) < index:
            yield document.error(f"group name {name} is taken already", (*at, "name"))
        reason = why_unpriced(group.device.name)
        if reason and group.collectives is None and group.device.collectives is None:
            yield document.error(
                reason,
                (*at, "device"),
                hint="name a library of its `collectives` with your figures",
            )
        hosts = group.hosts
        if hosts is None and given.links.matrix is None:
            try:
                check_host(default_hosts(name, 1)[0])
            except ValueError as error:
                yield document.error(
                    f"its hosts cannot be called after it: {error}",
                    (*at, "name"),
                    hint="list its hosts, or call it otherwise",
                )
        scale_up = group.scale_up
        if scale_up is not None and (scale_up.segment or 0) > scale_up.nodes:
            yield document.error(
                f"a segment of {scale_up.segment} nodes; a domain has {scale_up.nodes}",
                (*at, "scale_up", "segment"),
            )
        if hosts is not None and group.count is not None and len(hosts) != group.count:
            yield document.error(f"{len(hosts)} hosts for a count of {group.count}", (*at, "hosts"))
        if hosts is None and listed and group.count is not None:
            hosts = default_hosts(name, group.count)
        for host in hosts or ():
            if host in owners:
                yield document.error(f"host {host} is in group {owners[host]} too", (*at, "hosts"))
                break
            owners[host] = name
        nodes = group.count or (len(hosts) if hosts else 1)
        if group.network is None and (nodes > 1 or not single):
            yield document.error("network is missing; there is more than one node", at)
    total = sum(group.count or len(group.hosts or ()) for group in groups)
    if total > MOST_HOSTS:
        yield document.error(f"{total} nodes; at most {MOST_HOSTS}", ("node_groups",))


def broken_tier_rules(document: Document, given: ClusterInput) -> Iterator[InputError]:
    tiers = given.fabric.tiers if given.fabric else ()
    names = [tier.name for tier in tiers]
    below = 1
    for index, tier in enumerate(tiers):
        at = ("fabric", "tiers", index)
        if names.index(tier.name) < index:
            yield document.error(f"tier name {tier.name} is taken already", (*at, "name"))
        if tier.nodes is None:
            if index < len(tiers) - 1:
                yield document.error("nodes is missing; only the last tier may leave it out", at)
            continue
        if tier.nodes % below or (tier.nodes == below and index):
            yield document.error(
                f"{tier.nodes} nodes do not hold a whole number, above one, of tier "
                f"{names[index - 1]} with {below} nodes",
                (*at, "nodes"),
            )
        below = tier.nodes
