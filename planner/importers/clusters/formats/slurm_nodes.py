"""Slurm's slurm.conf, and what `scontrol show node` prints: which nodes there are, and how many
devices of which type each has.

Man page slurm.conf(5), NODE CONFIGURATION: `NodeName=gpu[001-064] Gres=gpu:h100:8`. It does not say
how nodes are connected; topology.conf does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from planner.importers.clusters.devices import device_named
from planner.importers.clusters.facts import ClusterFacts, NodeFacts
from planner.importers.clusters.formats.slurm import logical_lines, settings_of
from planner.importers.clusters.hosts import clean_hosts
from planner.importers.notes import Notes
from planner.importers.source import Source
from planner.specs.cluster.hostlist import expand_hosts

MOST_KINDS = 100

_NODES = re.compile(
    r"^\s*NodeName\s*=(?:\\\r?\n|.)*\bGres\s*=\s*\S*gpu", re.IGNORECASE | re.MULTILINE
)
_SHOWN = re.compile(
    r"^NodeName=\S+[ \t]+(?:Arch|CoresPerSocket)=[^\n]*\n(?:[ \t]+[^\n]*\n)*?[ \t]+Gres=\S*gpu",
    re.MULTILINE,
)
_GPUS = re.compile(r"(?:^|,)gpu(?::([A-Za-z][\w.-]*))?(?::(\d{1,4}))?(?:\([^)]*\))?(?=,|$)")


@dataclass(frozen=True, slots=True)
class _Kind:
    """Devices of a node: their type as Slurm names it, empty where it names none, and their
    number.
    """

    type: str
    count: int


def looks_like_nodes(text: str) -> bool:
    return _NODES.search(text) is not None or _shows_nodes(text)


def _shows_nodes(text: str) -> bool:
    """Whether the lines of a node go on below its name, as `scontrol show node` prints them."""
    return _SHOWN.search(text) is not None


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    if not _shows_nodes(source.text):
        yield from logical_lines(source)
        return
    start, block = 1, ""
    for number, line in enumerate(source.lines(), start=1):
        if block and line[:1].isspace():
            block += " " + line.strip()
            continue
        if block:
            yield start, block
        start, block = number, line.strip()
    if block:
        yield start, block


def read_nodes(source: Source) -> ClusterFacts:
    """Raises: InputError at the line that is wrong."""
    notes = Notes()
    kinds: dict[_Kind, list[str]] = {}
    seen: set[str] = set()
    default, without = "", 0
    for number, line in _lines(source):
        if not re.match(r"\s*NodeName\s*=", line, re.IGNORECASE):
            continue
        settings = settings_of(source, number, line)
        names, gres = settings["nodename"], settings.get("gres", default)
        if names.upper() == "DEFAULT":
            default = gres
            continue
        try:
            hosts = expand_hosts(names)
        except ValueError as error:
            raise source.error(str(error), number) from error
        kind = _kind(source, number, gres)
        if kind is None:
            without += len(hosts)
            continue
        twice = seen.intersection(hosts)
        if twice:
            raise source.error(f"node {min(twice)[:60]} has two NodeName lines", number)
        seen.update(hosts)
        kinds.setdefault(kind, []).extend(hosts)
    if not kinds:
        raise source.error("names no nodes with devices (NodeName=… Gres=gpu:…)")
    if len(kinds) > MOST_KINDS:
        raise source.error(f"{len(kinds)} kinds of nodes; at most {MOST_KINDS} are read")
    if without:
        notes.left_out.append(f"{without} nodes without devices")
    nodes = tuple(_node(kind, hosts, notes) for kind, hosts in kinds.items())
    return ClusterFacts(
        path=source.path,
        kind="slurm.conf",
        sha256=source.sha256,
        notes=notes,
        nodes=nodes,
        hosts=nodes[0].hosts if len(nodes) == 1 else (),
    )


def _kind(source: Source, number: int, gres: str) -> _Kind | None:
    """The devices among a node's generic resources; None where it has none."""
    found = _GPUS.findall(gres)
    if not found:
        return None
    types = {name for name, _ in found}
    if len(types) > 1:
        raise source.error(
            f"devices of different types in a node: {', '.join(sorted(types))}", number
        )
    count = sum(int(count or 1) for _, count in found)
    if not 1 <= count <= 1024:
        raise source.error(f"{count} devices in a node", number)
    return _Kind(types.pop(), count)


def _node(kind: _Kind, hosts: list[str], notes: Notes) -> NodeFacts:
    named = f" of type {kind.type}" if kind.type else ""
    notes.read.append(f"{len(hosts)} nodes of {kind.count} devices{named}")
    return NodeFacts(
        likely_device=device_named(kind.type.replace("_", " ")) if kind.type else None,
        because=f"Gres says gpu:{kind.type}" if kind.type else "Gres says no type",
        devices_per_node=kind.count,
        whole=True,
        hosts=clean_hosts(hosts, notes),
    )
