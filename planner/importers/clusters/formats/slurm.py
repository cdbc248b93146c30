"""Slurm's topology.conf and topology.yaml: which nodes share which switches or blocks.

Man pages topology.conf(5) and topology.yaml(5). Neither says how fast a link is: LinkSpeed is
"arbitrary" and not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from planner.importers.clusters.facts import ClusterFacts, Tier
from planner.importers.clusters.hosts import clean_hosts
from planner.importers.clusters.tiers import Switch, tiers_of
from planner.importers.notes import Notes
from planner.importers.source import Source
from planner.specs.cluster.hostlist import expand_hosts
from planner.specs.files.document import Document, Location

MOST_SWITCHES = 100_000
_KINDS = ("tree", "block", "ring", "torus3d", "flat")

_CONF_LINE = re.compile(r"^\s*(SwitchName|BlockName|RingName)\s*=", re.IGNORECASE | re.MULTILINE)
_SETTING = re.compile(r"([A-Za-z]+)\s*=\s*(?:\"([^\"]*)\"|(\S+))")
_YAML_LINE = re.compile(r"^\s*-?\s*[\"']?topology[\"']?\s*:", re.MULTILINE)


@dataclass(slots=True)
class _Topology:
    """One topology as found: switches of a tree, or groups of nodes."""

    kind: str = ""
    switches: dict[str, Switch] = field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    block_sizes: tuple[int, ...] = ()


def looks_like_conf(text: str) -> bool:
    return _CONF_LINE.search(text) is not None


def looks_like_yaml(text: str) -> bool:
    kinds = "|".join(_KINDS)
    return _YAML_LINE.search(text) is not None and bool(
        re.search(rf"^\s*[\"']?({kinds})[\"']?\s*:", text, re.MULTILINE)
    )


def read_conf(source: Source) -> ClusterFacts:
    """Raises: InputError at the line that is wrong."""
    notes, found = Notes(), _Topology()
    link_speeds = False
    for number, line in logical_lines(source):
        settings = settings_of(source, number, line)
        link_speeds |= "linkspeed" in settings
        names = [key for key in ("switchname", "blockname", "ringname") if key in settings]
        if names:
            kind = {"switchname": "tree", "blockname": "block", "ringname": "ring"}[names[0]]
            if found.kind not in ("", kind):
                raise source.error(f"a {kind} after a {found.kind}; one file holds one", number)
            found.kind = kind
            _add(source, number, found, settings, names[0])
        elif "blocksizes" in settings:
            found.block_sizes = _sizes(source, number, settings["blocksizes"].split(","))
        elif settings:
            notes.left_out.append(f"line {number}: {', '.join(settings)}")
    if not found.kind:
        raise source.error("names no switch, block or ring")
    if link_speeds:
        notes.left_out.append("LinkSpeed: its unit is arbitrary, and Slurm does not use it")
    return _facts(source, "Slurm topology.conf", found, notes)


def logical_lines(source: Source) -> Iterator[tuple[int, str]]:
    """Lines without comments; a line that ends in a backslash is joined with the next."""
    start, joined = 0, ""
    for number, line in enumerate(source.lines(), start=1):
        text = line.partition("#")[0].rstrip()
        start = start or number
        if text.endswith("\\"):
            joined += text[:-1] + " "
            continue
        if (joined + text).strip():
            yield start, (joined + text).strip()
        start, joined = 0, ""
    if joined.strip():
        yield start, joined.strip()


def settings_of(source: Source, number: int, line: str) -> dict[str, str]:
    settings = {}
    for name, quoted, plain in _SETTING.findall(line):
        if name.lower() in settings:
            raise source.error(f"{name} is given twice on one line", number)
        settings[name.lower()] = quoted or plain
    if not settings:
        raise source.error(f"expected NAME=VALUE, found {line[:60]!r}", number)
    return settings


def _add(source: Source, number: int, found: _Topology, settings: dict[str, str], key: str) -> None:
    name = settings[key]
    if name in found.switches or name in found.groups:
        raise source.error(f"{name[:60]} is named twice", number)
    if len(found.switches) + len(found.groups) >= MOST_SWITCHES:
        raise source.error(f"more than {MOST_SWITCHES:,} switches", number)
    hosts = _expand(source, number, settings.get("nodes"))
    if key == "switchname":
        below = _expand(source, number, settings.get("switches"))
        if not hosts and not below:
            raise source.error(f"switch {name[:60]} has neither Nodes nor Switches", number)
        found.switches[name] = Switch(hosts=hosts, below=below)
    elif not hosts:
        raise source.error(f"{name[:60]} has no Nodes", number)
    else:
        found.groups[name] = hosts


def _expand(source: Source, number: int, text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    try:
        return expand_hosts(text)
    except ValueError as error:
        raise source.error(str(error), number) from error


def _sizes(source: Source, number: int | None, parts: list[Any]) -> tuple[int, ...]:
    found = []
    for part in parts:
        if not re.fullmatch(r"[0-9]{1,7}", str(part).strip()) or int(str(part)) < 1:
            raise source.error(f"block size {str(part)[:20]!r} is not a whole number", number)
        found.append(int(str(part)))
    return tuple(found)


def read_yaml(source: Source) -> ClusterFacts:
    """Of several topologies, the cluster's default counts; without one, the first that is not flat.

    Raises: InputError at the entry that is wrong.
    """
    document = source.yaml()
    listed = document.tree if isinstance(document.tree, tuple) else (document.tree,)
    if not all(isinstance(entry, dict) and "topology" in entry for entry in listed):
        raise document.error("expected a list of topologies")
    notes = Notes()
    places = list(range(len(listed)))
    kinds = [_kind(document, index, listed[index]) for index in places]
    default = [index for index in places if listed[index].get("cluster_default") is True]
    chosen = (default or [index for index in places if kinds[index] != "flat"] or places)[0]
    if len(listed) > 1:
        others = [str(listed[index]["topology"]) for index in places if index != chosen]
        notes.left_out.append(f"topologies other than {listed[chosen]['topology']}: {others}")
    kind = kinds[chosen]
    if kind in ("flat", "torus3d"):
        raise document.error(
            f"a {kind} topology says nothing of switches or blocks", _at(document, chosen, kind)
        )
    found = _read_kind(document, _at(document, chosen, kind), listed[chosen][kind], kind)
    return _facts(source, "Slurm topology.yaml", found, notes)


def _at(document: Document, index: int, *rest: str | int) -> Location:
    return (index, *rest) if isinstance(document.tree, tuple) else rest


def _kind(document: Document, index: int, entry: dict[str, Any]) -> str:
    found = [kind for kind in _KINDS if kind in entry]
    if len(found) != 1:
        raise document.error(
            f"topology {entry['topology']} needs one of {', '.join(_KINDS)}", _at(document, index)
        )
    return found[0]


def _read_kind(document: Document, at: Location, content: Any, kind: str) -> _Topology:
    found = _Topology(kind=kind)
    listing, item = {
        "tree": ("switches", "switch"),
        "block": ("blocks", "block"),
        "ring": ("rings", "ring"),
    }[kind]
    entries = content.get(listing) if isinstance(content, dict) else None
    if not isinstance(entries, tuple) or not 1 <= len(entries) <= MOST_SWITCHES:
        raise document.error(f"expected {listing}, a list", at)
    for index, entry in enumerate(entries):
        place = (*at, listing, index)
        if not isinstance(entry, dict) or not isinstance(entry.get(item), (str, int)):
            raise document.error(f"expected {item}: a name", place)
        name = str(entry[item])
        if name in found.switches or name in found.groups:
            raise document.error(f"{name[:60]} is named twice", place)
        hosts = _yaml_hosts(document, place, entry, "nodes")
        below = _yaml_hosts(document, place, entry, "children") if kind == "tree" else ()
        if not hosts and not below:
            raise document.error(f"{name[:60]} has no nodes", place)
        if kind == "tree":
            found.switches[name] = Switch(hosts=hosts, below=below)
        else:
            found.groups[name] = hosts
    sizes = content.get("block_sizes")
    if isinstance(sizes, tuple) and all(type(size) is int and size > 0 for size in sizes):
        found.block_sizes = sizes
    return found


def _yaml_hosts(
    document: Document, place: Location, entry: dict[str, Any], key: str
) -> tuple[str, ...]:
    value = entry.get(key)
    if value is None:
        return ()
    try:
        return expand_hosts(value)
    except ValueError as error:
        raise document.error(str(error), (*place, key)) from error


def _facts(source: Source, kind: str, found: _Topology, notes: Notes) -> ClusterFacts:
    if found.kind == "tree":
        _check_tree(source, found)
        hosts, tiers = tiers_of(found.switches, notes)
        notes.read.append(f"{len(hosts)} nodes below {len(found.switches)} switches")
    else:
        hosts = tuple(dict.fromkeys(host for group in found.groups.values() for host in group))
        tiers = []
        if len(found.groups) > 1:
            tiers = [Tier(name=found.kind, groups=tuple(found.groups.values()))]
        notes.read.append(f"{len(hosts)} nodes in {len(found.groups)} {found.kind}s")
        _check_disjoint(source, found)
        if found.kind == "ring":
            notes.left_out.append("the order of nodes in a ring")
        if len(found.block_sizes) > 1:
            notes.left_out.append(f"block sizes above the first: {found.block_sizes[1:]}")
    if not hosts:
        raise source.error("names no nodes")
    if tiers:
        notes.assumed.append("links between switches do not slow traffic (oversubscription 1)")
    cleaned = dict(zip(hosts, clean_hosts(hosts, notes), strict=True))
    return ClusterFacts(
        path=source.path,
        kind=kind,
        sha256=source.sha256,
        notes=notes,
        hosts=tuple(cleaned.values()),
        tiers=tuple(
            Tier(
                name=tier.name,
                groups=tuple(tuple(cleaned[host] for host in group) for group in tier.groups),
            )
            for tier in tiers
        ),
        domains=tuple(tuple(cleaned[host] for host in group) for group in found.groups.values())
        if found.kind == "block"
        else (),
    )


def _check_tree(source: Source, found: _Topology) -> None:
    parents: dict[str, str] = {}
    for name, switch in found.switches.items():
        for child in switch.below:
            if child not in found.switches:
                raise source.error_naming(
                    f"switch {name[:60]} has {child[:60]} below, not in the file", child, name
                )
            if child in parents:
                raise source.error_naming(f"switch {child[:60]} is below two switches", child, name)
            parents[child] = name
    seen: dict[str, str] = {}
    for name, switch in found.switches.items():
        for host in switch.hosts:
            if host in seen:
                raise source.error_naming(
                    f"node {host} is below {seen[host][:60]} and {name[:60]}", host, name
                )
            seen[host] = name


def _check_disjoint(source: Source, found: _Topology) -> None:
    seen: dict[str, str] = {}
    for name, group in found.groups.items():
        for host in group:
            if host in seen:
                raise source.error_naming(
                    f"node {host} is in {seen[host][:60]} and {name[:60]}", host, name
                )
            seen[host] = name
