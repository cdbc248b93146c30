"""Adds what other files say to an existing cluster file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from planner.errors import InputError
from planner.importers.clusters.bandwidths import inside_of
from planner.importers.clusters.build import (
    all_links,
    layout_of,
    links_content,
    the_matrix,
    tiers_content,
)
from planner.importers.clusters.facts import ClusterFacts, MeasuredCollective, NodeFacts
from planner.importers.clusters.groups import merged_nodes
from planner.importers.clusters.hosts import short
from planner.importers.clusters.measured import measured_intra_node, measured_network, shown
from planner.importers.clusters.node_options import NodeOptions
from planner.importers.clusters.rates import seconds
from planner.importers.clusters.sites import override_content
from planner.importers.notes import Notes
from planner.specs.unit_text import format_bytes_per_second


def changed_mapping(
    base: Mapping[str, Any],
    facts: Sequence[ClusterFacts],
    options: NodeOptions,
    notes: Notes,
    *,
    path: str,
    matrix_file: str,
) -> dict[str, Any]:
    """The content of the cluster file `path`, changed by what files and options say. Whatever they
    do not mention stays.

    Raises: InputError for contradictions.
    """
    mapping: dict[str, Any] = deepcopy(dict(base))
    groups = mapping["node_groups"]
    for kind in merged_nodes(facts) or [NodeFacts()]:
        index = _group_index(groups, kind, options, path)
        if index is not None:
            _change_group(groups[index], kind, options, facts, notes)
    layout = layout_of(facts, notes)
    if layout.hosts and len(groups) == 1:
        _change_hosts(groups[0], layout.hosts, path)
    if layout.domain_nodes is not None and len(groups) == 1 and "scale_up" in groups[0]:
        _set(groups[0]["scale_up"], "nodes", layout.domain_nodes, "scale_up", notes)
    if layout.tiers:
        _set(mapping, "fabric", {"tiers": tiers_content(layout.tiers)}, "", notes)
    _change_links(mapping, facts, notes, matrix_file)
    return mapping


def _group_index(
    groups: Sequence[Mapping[str, Any]], kind: NodeFacts, options: NodeOptions, path: str
) -> int | None:
    """The group that the options mean: the only one, or the one with the device."""
    device = options.device or kind.device or kind.likely_device
    if len(groups) == 1:
        return 0
    matching = [index for index, group in enumerate(groups) if group.get("device") == device]
    if len(matching) == 1:
        return matching[0]
    if kind == NodeFacts() and options == NodeOptions():
        return None
    raise InputError(
        f"has {len(groups)} node groups, {len(matching)} of them with device {device}",
        path=path,
        hint="give --device to say which one is meant",
    )


def _change_group(
    group: dict[str, Any],
    kind: NodeFacts,
    options: NodeOptions,
    facts: Sequence[ClusterFacts],
    notes: Notes,
) -> None:
    device = options.device or (kind.device if kind.device != group.get("device") else None)
    if device is not None:
        if options.device is None:
            notes.left_out.append(
                f"device {device}: the file has {group.get('device')}, which stays"
            )
        else:
            _set(group, "device", device, "", notes)
    per_node = options.devices_per_node or (kind.devices_per_node if kind.whole else None)
    if per_node is not None:
        _set(group, "devices_per_node", per_node, "", notes)
    inside = options.intra_node_bandwidth
    nominal = inside_of(kind, str(group.get("device")), notes)
    if inside is None and nominal is not None:
        inside = format_bytes_per_second(nominal[0])
    if inside is not None:
        _set(group["intra_node"], "bandwidth", inside, "intra_node", notes)
    card = options.network_bandwidth
    if card is None and kind.card_bytes_per_s is not None:
        card = format_bytes_per_second(kind.card_bytes_per_s)
    if card is not None or options.cards or (kind.cards and "network" in group):
        network = group.setdefault("network", {})
        number = options.cards or kind.cards or network.get("cards", 1)
        _set(network, "cards", number, "network", notes)
        if card is not None:
            _set(network, "bandwidth", card, "network", notes)
    _fit(group, facts, notes, fixed=(inside is not None, card is not None))


def _fit(
    group: dict[str, Any], facts: Sequence[ClusterFacts], notes: Notes, *, fixed: tuple[bool, bool]
) -> None:
    """Bandwidths that explain the measured collectives, where nothing else states them."""
    collectives = [one for fact in facts for one in fact.collectives]
    together = group["devices_per_node"] * group.get("scale_up", {}).get("nodes", 1)
    inside = [one for one in collectives if one.inside(together)]
    outside = [one for one in collectives if not one.inside(together)]
    if inside and not fixed[0]:
        rate = measured_intra_node(group, inside, notes)
        if rate is not None:
            _set_fitted(group, "intra_node", rate, inside, notes)
    if outside and not fixed[1]:
        trial = group if "network" in group else {**group, "network": {"cards": 1}}
        rate = measured_network(trial, outside, notes)
        if rate is not None:
            _set_fitted(group, "network", rate, outside, notes)


def _set_fitted(
    group: dict[str, Any],
    place: str,
    rate: float,
    collectives: Sequence[MeasuredCollective],
    notes: Notes,
) -> None:
    text = format_bytes_per_second(rate)
    _set(group.setdefault(place, {"cards": 1}), "bandwidth", text, place, notes)
    for one in sorted(collectives, key=lambda one: (one.ranks, one.size_bytes))[-1:]:
        planned = seconds(one, group)
        notes.read.append(
            f"{shown(one)}: measured {one.time_s * 1e3:.4g} ms, planned "
            f"{(planned or 0.0) * 1e3:.4g} ms"
        )


def _set(holder: dict[str, Any], key: str, value: Any, where: str, notes: Notes) -> None:
    before = holder.get(key)
    if before == value:
        return
    name = f"{where} {key}".strip()
    if before is not None and not isinstance(before, (dict, list)):
        notes.read.append(f"{name} {value} instead of {before}")
    elif before is not None:
        notes.read.append(f"{name} written anew")
    holder[key] = value


def _change_hosts(group: dict[str, Any], hosts: tuple[str, ...], path: str) -> None:
    count = group.get("count")
    if count is not None and count != len(hosts):
        raise InputError(
            f"has {count} nodes, the imported files list {len(hosts)} hosts", path=path
        )
    group["count"] = len(hosts)
    group["hosts"] = short(hosts)


def _change_links(
    mapping: dict[str, Any], facts: Sequence[ClusterFacts], notes: Notes, matrix_file: str
) -> None:
    matrix, links = the_matrix(facts), all_links(facts)
    if matrix is None and not links:
        return
    holder = dict(mapping.get("links") or {})
    if matrix is not None:
        content = links_content(matrix, (), matrix_file)
        _set(holder, "matrix", content["matrix"], "links", notes)
    if links:
        entries = {frozenset(map(str, one["between"])): one for one in holder.get("overrides", [])}
        entries |= {frozenset(link.between): override_content(link) for link in links}
        holder["overrides"] = list(entries.values())
    mapping["links"] = holder
