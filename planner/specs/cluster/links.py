"""The links part of a cluster file: the measured matrix in cluster order, overrides by index."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.specs.cluster.matrix import MatrixFile, load_matrix
from planner.specs.cluster.spec import BandwidthMatrix, LinkOverride, NodeGroup
from planner.specs.files.spelling import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from planner.specs.cluster.file import MatrixInput, OverrideInput
    from planner.specs.files.document import Document, Location

MOST_OVERRIDES = 1_000_000

_AT_MATRIX = ("links", "matrix")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedMatrix:
    """A matrix in cluster order, and the groups with the host names it gave them."""

    groups: tuple[NodeGroup, ...]
    matrix: BandwidthMatrix
    sha256: str


def place_matrix(
    document: Document,
    given: MatrixInput,
    groups: tuple[NodeGroup, ...],
    *,
    listed: tuple[bool, ...],
    folder: Path,
) -> PlacedMatrix:
    """Read the matrix and match it with the groups' hosts; `listed` says which groups list theirs.

    Raises: InputError, in the matrix file or in the cluster file.
    """
    path = folder / given.file
    try:
        content = load_matrix(path, unit=given.unit)
    except InputError as error:
        if error.line is not None:
            raise
        raise document.error(str(error), (*_AT_MATRIX, "file")) from error
    if all(listed):
        order = _listed_order(document, groups, content, path)
    elif any(listed):
        raise document.error("with a matrix, all groups list their hosts or none does", _AT_MATRIX)
    else:
        groups = _named_by(document, groups, content, path)
        order = list(range(len(content.hosts)))
    cards = [1] * len(order)
    if given.per == "card":
        cards = [
            group.network.cards if group.network else 1
            for group in groups
            for _ in group.hosts or ()
        ]
    rows = tuple(
        tuple(
            None if value is None else value * min(cards[sender], cards[receiver])
            for receiver, value in enumerate(content.bytes_per_s[row][column] for column in order)
        )
        for sender, row in enumerate(order)
    )
    matrix = BandwidthMatrix(bytes_per_s=rows, path=str(path))
    return PlacedMatrix(groups=groups, matrix=matrix, sha256=content.sha256)


def _named_by(
    document: Document, groups: tuple[NodeGroup, ...], content: MatrixFile, path: Path
) -> tuple[NodeGroup, ...]:
    """The groups with the header's names as hosts, in that order."""
    counts = [group.count for group in groups]
    if len(groups) == 1 and counts[0] is None:
        counts = [len(content.hosts)]
    if None in counts:
        raise document.error("with a matrix, every group needs a count or hosts", _AT_MATRIX)
    total = sum(count or 0 for count in counts)
    if total != len(content.hosts):
        raise document.error(
            f"{path.name} names {len(content.hosts)} hosts, the cluster has {total} nodes",
            _AT_MATRIX,
        )
    named: list[NodeGroup] = []
    start = 0
    for group, count in zip(groups, counts, strict=True):
        end = start + (count or 0)
        named.append(replace(group, count=count, hosts=content.hosts[start:end]))
        start = end
    return tuple(named)


def _listed_order(
    document: Document, groups: tuple[NodeGroup, ...], content: MatrixFile, path: Path
) -> list[int]:
    """The matrix's index of every node, where the groups list their hosts."""
    places = {host: index for index, host in enumerate(content.hosts)}
    names = [host for group in groups for host in group.hosts or ()]
    for name in names:
        if name not in places:
            hint = did_you_mean(name, content.hosts[:1000])
            raise document.error(f"{path.name} has no host {name}", _AT_MATRIX, hint=hint)
    if len(names) != len(content.hosts):
        known = set(names)
        extra = next(host for host in content.hosts if host not in known)
        raise content.error_at(
            extra,
            f"no node group of {document.path} has a host {extra}",
            hint=did_you_mean(extra, names[:1000]),
        )
    return [places[name] for name in names]


def place_overrides(
    document: Document, overrides: tuple[OverrideInput, ...], groups: tuple[NodeGroup, ...]
) -> tuple[LinkOverride, ...]:
    """Overrides with their ends as indices of nodes in cluster order; one between two groups is one
    for every pair of their nodes. Raises: InputError."""
    places = _places(groups)
    nodes = sum(len(group.hosts or ()) for group in groups)
    found: dict[frozenset[int], LinkOverride] = {}
    for index, override in enumerate(overrides):
        at = ("links", "overrides", index, "between")
        ends = [
            _end(document, end, places, nodes, (*at, side))
            for side, end in enumerate(override.between)
        ]
        if set(ends[0]) & set(ends[1]):
            raise document.error("a link is between two different nodes or groups", at)
        if len(found) + len(ends[0]) * len(ends[1]) > MOST_OVERRIDES:
            raise document.error(f"more than {MOST_OVERRIDES:,} pairs of nodes have overrides", at)
        for pair in product(ends[0], ends[1]):
            if frozenset(pair) in found:
                raise document.error("this pair has an override already", at)
            found[frozenset(pair)] = LinkOverride(
                between=pair,
                bandwidth_bytes_per_s=override.bandwidth,
                latency_s=override.latency,
            )
    return tuple(found.values())


def _places(groups: tuple[NodeGroup, ...]) -> dict[str, range]:
    """Nodes by the names of groups and hosts; a host comes first where both have a name."""
    places: dict[str, range] = {}
    hosts: dict[str, range] = {}
    start = 0
    for group in groups:
        names = group.hosts or ()
        places[group.name] = range(start, start + len(names))
        hosts |= {name: range(start + i, start + i + 1) for i, name in enumerate(names)}
        start += len(names)
    return {**places, **hosts}


def _end(
    document: Document, end: int | str, places: dict[str, range], nodes: int, at: Location
) -> range:
    if isinstance(end, int):
        if not 0 <= end < nodes:
            raise document.error(f"no node {end}; indices are 0 to {nodes - 1}", at)
        return range(end, end + 1)
    if end not in places:
        hint = did_you_mean(end[:80], list(places)[:1000])
        raise document.error(f"no node or group is named {end[:80]!r}", at, hint=hint)
    return places[end]
