"""topograph's graph engine: for each instance the switches above it and its NVLink domain.

`{"instances": [{"id", "type", "network_layers": [closest first], "labels" or "attributes"}]}`
(NVIDIA/topograph, docs/engines/graph.md).
"""

from __future__ import annotations

from typing import Any

from planner.importers.clusters.devices import device_named
from planner.importers.clusters.facts import ClusterFacts, NodeFacts, Tier
from planner.importers.clusters.hosts import clean_hosts
from planner.importers.notes import Notes
from planner.importers.source import Source
from planner.specs.files.document import Location
from planner.specs.files.json_file import JsonFile, parse_json

MOST_INSTANCES = 1_000_000
_LAYERS = ("leaf", "spine", "core")
_DOMAINS = ("accelerator.topograph.run/domain", "nvlink", "nvlink-domain", "accelerator")
_MOST_LAYERS = 8


def looks_like_topograph(tree: Any) -> bool:
    return isinstance(tree, dict) and isinstance(tree.get("instances"), list)


def read_topograph(source: Source) -> ClusterFacts:
    """Raises: InputError at the instance that is wrong."""
    file = parse_json(source.text, source.path)
    notes = Notes()
    entries = file.sequence(file.mapping(file.tree).get("instances"), ("instances",))
    if not 1 <= len(entries) <= MOST_INSTANCES:
        raise file.error("expected one instance or more", ("instances",))
    names: list[str] = []
    layers: list[tuple[str, ...]] = []
    domains: list[str | None] = []
    types: dict[str, None] = {}
    for index, entry in enumerate(entries):
        at: Location = ("instances", index)
        mapping = file.mapping(entry, at)
        names.append(_text(file, mapping, "id", at))
        layers.append(_layers(file, mapping, at))
        domains.append(_domain(mapping))
        if isinstance(mapping.get("type"), str):
            types[mapping["type"][:100]] = None
    again = next((name for name in names if names.count(name) > 1), None) if _few(names) else None
    if again is not None or len(set(names)) < len(names):
        raise file.error(f"instance {again or ''} is listed twice", ("instances",))
    hosts = clean_hosts(names, notes)
    notes.read.append(f"{len(hosts)} instances")
    tiers = _tiers(hosts, layers, notes)
    if tiers:
        notes.assumed.append("links between switches do not slow traffic (oversubscription 1)")
    return ClusterFacts(
        path=source.path,
        kind="topograph graph",
        sha256=source.sha256,
        notes=notes,
        nodes=_nodes(list(types), notes),
        hosts=hosts,
        tiers=tiers,
        domains=_domains(hosts, domains, notes),
    )


def _few(names: list[str]) -> bool:
    return len(names) <= 1000


def _text(file: JsonFile, mapping: dict[str, Any], key: str, at: Location) -> str:
    value = mapping.get(key)
    if not isinstance(value, str) or not value:
        raise file.error(f"{key}: expected text", at)
    return value


def _layers(file: JsonFile, mapping: dict[str, Any], at: Location) -> tuple[str, ...]:
    value = mapping.get("network_layers") or []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise file.error("expected names of switches", (*at, "network_layers"))
    if len(value) > _MOST_LAYERS:
        raise file.error(f"more than {_MOST_LAYERS} layers", (*at, "network_layers"))
    return tuple(value)


def _domain(mapping: dict[str, Any]) -> str | None:
    for holder in ("labels", "attributes"):
        labels = mapping.get(holder)
        for key in _DOMAINS:
            if isinstance(labels, dict) and isinstance(labels.get(key), str):
                return str(labels[key])
    return None


def _tiers(hosts: tuple[str, ...], layers: list[tuple[str, ...]], notes: Notes) -> tuple[Tier, ...]:
    depth = min(map(len, layers))
    if depth < max(map(len, layers)):
        notes.left_out.append("layers that not every instance has")
    found = []
    for level in range(depth):
        groups: dict[tuple[str, ...], list[str]] = {}
        for host, above in zip(hosts, layers, strict=True):
            groups.setdefault(above[level:depth], []).append(host)
        if len(groups) > 1:
            name = _LAYERS[level] if level < len(_LAYERS) else f"tier-{level + 1}"
            found.append(Tier(name=name, groups=tuple(tuple(group) for group in groups.values())))
    return tuple(found)


def _domains(
    hosts: tuple[str, ...], domains: list[str | None], notes: Notes
) -> tuple[tuple[str, ...], ...]:
    if not any(domains):
        return ()
    if None in domains:
        notes.left_out.append("accelerator domains: not every instance has one")
        return ()
    groups: dict[str, list[str]] = {}
    for host, domain in zip(hosts, domains, strict=True):
        groups.setdefault(domain or "", []).append(host)
    notes.read.append(f"{len(groups)} accelerator domains")
    return tuple(tuple(group) for group in groups.values())


def _nodes(types: list[str], notes: Notes) -> tuple[NodeFacts, ...]:
    found = {device_named(text) for text in types} - {None}
    if len(found) == 1 and len(types) == 1:
        return (NodeFacts(likely_device=found.pop(), because=f"instance type {types[0]}"),)
    if types:
        notes.left_out.append(f"instance types: {', '.join(types[:6])}")
    return ()
