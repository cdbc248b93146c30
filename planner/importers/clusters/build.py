"""The content of a cluster file, from what several files say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from planner.errors import InputError
from planner.importers.clusters.bandwidths import Group
from planner.importers.clusters.facts import ClusterFacts, Link, Matrix, NodeFacts, Tier
from planner.importers.clusters.groups import group_of, merged_nodes
from planner.importers.clusters.hosts import clean_hosts, short
from planner.importers.clusters.node_options import NodeOptions
from planner.importers.clusters.sites import GROUP_ORDER, override_content, sites_mapping
from planner.importers.clusters.tiers import SizedTier, sized
from planner.importers.notes import Notes
from planner.specs.quantities import BYTES_PER_SECOND
from planner.specs.units import unit_factor

NVLINK_RACKS = ("gb200", "gb300")
"""Devices whose fast fabric spans nodes."""

DOMAIN = "domain"
"""Stands for the scale-up domains among the tiers while hosts are put in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLayout:
    """Hosts in cluster order, with the tiers and scale-up domains over them."""

    hosts: tuple[str, ...]
    tiers: tuple[SizedTier, ...]
    domain_nodes: int | None


def cluster_mapping(
    facts: Sequence[ClusterFacts],
    options: NodeOptions,
    notes: Notes,
    *,
    name: str,
    matrix_file: str,
) -> dict[str, Any]:
    """The content of a new cluster file; a matrix goes to `matrix_file`.

    Raises: InputError for contradictions, and for facts that neither files nor options state.
    """
    layout = layout_of(facts, notes)
    kinds = merged_nodes(facts) or [NodeFacts()]
    matrix, links = the_matrix(facts), all_links(facts)
    hosts = layout.hosts or _benchmark_hosts(facts, notes)
    several = len(hosts) > 1 or len(kinds) > 1
    groups = [
        group_of(
            kind,
            options,
            [one for fact in facts for one in fact.collectives],
            notes,
            several_nodes=several,
            fastest_link=None if options.nodes_per_site else _fastest(matrix, links),
        )
        for kind in kinds
    ]
    if options.nodes_per_site is not None:
        return sites_mapping(groups, links, options.nodes_per_site, notes, name=name)
    if links:
        notes.assumed.append("one node in each region (--nodes-per-site says otherwise)")
    if len(groups) == 1:
        _place_hosts(groups[0], hosts, layout, notes)
    elif hosts:
        raise InputError(
            f"{len(groups)} kinds of nodes, and nothing says which of the {len(hosts)} hosts "
            "are which",
            hint="import one kind at a time",
        )
    for group, kind in zip(groups, kinds, strict=True):
        if kind.hosts and "hosts" not in group:
            group["count"], group["hosts"] = len(kind.hosts), short(kind.hosts)
    _name_groups(groups)
    mapping: dict[str, Any] = {"name": name, "node_groups": groups}
    if layout.tiers:
        mapping["fabric"] = {"tiers": tiers_content(layout.tiers)}
    content = links_content(matrix, links, matrix_file)
    if content:
        mapping["links"] = content
    return mapping


def layout_of(facts: Sequence[ClusterFacts], notes: Notes) -> HostLayout:
    """Raises: InputError when files that list all hosts list different ones."""
    listing = [one for one in facts if one.hosts]
    if not listing:
        return HostLayout(hosts=(), tiers=(), domain_nodes=None)
    first = next((one for one in listing if one.tiers or one.domains), listing[0])
    for other in listing:
        if set(other.hosts) != set(first.hosts):
            raise _different_hosts(first, other)
    _check_one(facts)
    tiered = next((one for one in listing if one.tiers), first)
    domains = next((one.domains for one in listing if one.domains), ())
    tiers = list(tiered.tiers)
    same = next((tier.name for tier in tiers if set(tier.groups) == set(domains)), None)
    if same is None and domains and max(map(len, domains)) > 1:
        tiers = _with_domains(tiered.hosts, tiers, domains, notes)
    hosts, found = sized(tiered.hosts, tiers, notes)
    sizes = {tier.name: tier.nodes for tier in found}
    return HostLayout(
        hosts=hosts,
        tiers=tuple(tier for tier in found if tier.name != DOMAIN),
        domain_nodes=sizes.get(same or DOMAIN),
    )


def _with_domains(
    hosts: tuple[str, ...],
    tiers: list[Tier],
    domains: tuple[tuple[str, ...], ...],
    notes: Notes,
) -> list[Tier]:
    """The tiers with the scale-up domains inside them. Where switches cross domains, only the
    domains: their links are the faster ones."""
    inside = Tier(name=DOMAIN, groups=domains)
    found = sized(hosts, [inside, *tiers], Notes())[1]
    if not any(tier.name == DOMAIN for tier in found) and tiers:
        notes.left_out.append("tiers of switches, which cross the accelerator domains")
        return [inside]
    return [inside, *tiers]


def _different_hosts(first: ClusterFacts, other: ClusterFacts) -> InputError:
    missing = sorted(set(first.hosts) ^ set(other.hosts))
    owner = first if missing[0] in first.hosts else other
    return InputError(
        f"lists {len(other.hosts)} hosts, {first.path} lists {len(first.hosts)}; "
        f"{missing[0]} is only in {owner.path}",
        path=other.path,
        hint="files that list all nodes must list the same",
    )


def _check_one(facts: Sequence[ClusterFacts]) -> None:
    """Two files must not both say how nodes are connected."""
    for what, have in (
        ("tiers", [one for one in facts if one.tiers]),
        ("bandwidth between nodes", [one for one in facts if one.matrix is not None]),
    ):
        if len(have) > 1:
            raise InputError(
                f"and {have[0].path} both say {what}; give one of them", path=have[1].path
            )


def the_matrix(facts: Sequence[ClusterFacts]) -> Matrix | None:
    return next((one.matrix for one in facts if one.matrix is not None), None)


def all_links(facts: Sequence[ClusterFacts]) -> tuple[Link, ...]:
    return tuple(link for one in facts for link in one.links)


def _benchmark_hosts(facts: Sequence[ClusterFacts], notes: Notes) -> tuple[str, ...]:
    """The hosts of the benchmarks, where no file lists all nodes."""
    found = tuple(dict.fromkeys(host for one in facts for host in one.measured_on))
    if found:
        notes.assumed.append(f"the cluster is the {len(found)} hosts of the benchmark")
    return clean_hosts(found, notes) if found else ()


def _fastest(matrix: Matrix | None, links: Sequence[Link]) -> float | None:
    if matrix is not None:
        measured = (value for row in matrix.rows for value in row if value is not None)
        return max(measured, default=0.0) * unit_factor(BYTES_PER_SECOND, matrix.unit) or None
    return max((link.bytes_per_s for link in links), default=None)


def _place_hosts(group: Group, hosts: tuple[str, ...], layout: HostLayout, notes: Notes) -> None:
    if hosts:
        group["count"] = len(hosts)
        group["hosts"] = short(hosts)
    if layout.domain_nodes is not None:
        if group["device"] in NVLINK_RACKS:
            bandwidth = group["intra_node"]["bandwidth"]
            group["scale_up"] = {"nodes": layout.domain_nodes, "bandwidth": bandwidth}
            notes.assumed.append(
                f"{layout.domain_nodes} neighbouring nodes share the fast fabric of {bandwidth}"
            )
        else:
            notes.left_out.append(
                f"domains of {layout.domain_nodes} nodes: {group['device']} has no fabric that "
                "spans nodes"
            )


def _name_groups(groups: list[Group]) -> None:
    """Names groups after their devices, and orders keys as the documentation does."""
    names: list[str] = []
    for group in groups:
        base = str(group["device"]).partition("-")[0]
        name = base if base not in names else f"{base}-{len(names)}"
        names.append(name)
        filled = {"name": name, **group}
        group.clear()
        group.update({key: filled[key] for key in GROUP_ORDER if key in filled})


def tiers_content(tiers: Sequence[SizedTier]) -> list[dict[str, Any]]:
    """The entries of `fabric.tiers`, below one that joins everything."""
    content: list[dict[str, Any]] = [{"name": tier.name, "nodes": tier.nodes} for tier in tiers]
    above = {"leaf": "spine", "spine": "core"}.get(tiers[-1].name, "top")
    return [*content, {"name": above}]


def links_content(matrix: Matrix | None, links: Sequence[Link], matrix_file: str) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if matrix is not None:
        content["matrix"] = matrix_file
    if links:
        content["overrides"] = [override_content(link) for link in links]
    return content


def matrix_text(matrix: Matrix) -> str:
    """The CSV file of a matrix: its unit in the corner cell; cells on the diagonal and of links
    that were not measured stay empty."""
    lines = [",".join((matrix.unit, *matrix.hosts))]
    for host, row in zip(matrix.hosts, matrix.rows, strict=True):
        lines.append(",".join((host, *map(_cell, row))))
    return "\n".join(lines) + "\n"


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if value.is_integer() and value < 1e15 else repr(value)
