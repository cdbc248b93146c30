"""Pairs of regions with the latency and the bandwidth between them, one pair per line."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from statistics import median

from planner.importers.clusters.facts import ClusterFacts, Link
from planner.importers.clusters.formats.cells import positive
from planner.importers.clusters.formats.csv_matrix import Row, rows_of, some_rows
from planner.importers.clusters.hosts import clean_hosts
from planner.importers.notes import Notes
from planner.importers.source import Source
from planner.specs.quantities import BYTES_PER_SECOND, SECONDS
from planner.specs.unit_text import format_bytes_per_second
from planner.specs.units import UnitError, unit_factor

SUSPICIOUS = 100.0
"""A bandwidth counts as a typo if it differs by this factor from those of links of similar
latency.
"""
MOST_REGIONS = 1_000

_NEIGHBOURS = 5
_IN_UNIT = re.compile(r"(?:^|[_ (\[])(GiB|MiB|KiB|GB|MB|kB|Gbit|Mbit|Gb|Mb|B)(?:ps|(?:_per_|/)s)")
_IN_TIME = re.compile(r"(?:^|[_ (\[])(ms|us|s)(?:$|[\])])")


@dataclass(frozen=True, slots=True)
class _Pair:
    line: int
    one: str
    other: str
    bytes_per_s: float
    latency_s: float | None


@dataclass(frozen=True, slots=True)
class _Columns:
    bandwidth: int
    bandwidth_unit: float
    latency: int | None
    latency_unit: float


def looks_like_pairs(source: Source) -> bool:
    rows = rows_of(source)
    if len(rows) < 2 or len(rows[0][1]) < 3:
        return False
    header = " ".join(rows[0][1]).lower()
    return "bandwidth" in header and ("latency" in header or "region" in header)


def read_pairs(source: Source, unit: str | None) -> ClusterFacts:
    """Each region becomes a node or a site, each pair a link. A bandwidth far from those of pairs
    with similar latency is replaced by theirs, and a note says so.

    Raises: InputError at the cell that is wrong, and for a bandwidth without a unit.
    """
    rows = some_rows(source)
    columns = _columns(source, rows[0], unit)
    pairs: dict[frozenset[str], _Pair] = {}
    for number, cells in rows[1:]:
        pair = _pair(source, number, cells, columns)
        ends = frozenset((pair.one, pair.other))
        before = pairs.get(ends)
        if before is not None and before.bytes_per_s != pair.bytes_per_s:
            raise source.error(
                f"{pair.one} and {pair.other} stand on line {before.line} too, with another "
                "bandwidth; a link here is the same in both directions",
                number,
            )
        pairs[ends] = pair
    notes = Notes()
    regions = list(
        dict.fromkeys(name for pair in pairs.values() for name in (pair.one, pair.other))
    )
    if not pairs or len(regions) > MOST_REGIONS:
        raise source.error(f"expected pairs of at most {MOST_REGIONS} regions")
    kept = _without_typos(list(pairs.values()), notes)
    names = dict(zip(regions, clean_hosts(regions, notes), strict=True))
    notes.read.append(f"{len(kept)} links between {len(regions)} regions")
    notes.assumed.append("links alike in both directions")
    absent = len(regions) * (len(regions) - 1) // 2 - len(kept)
    if absent:
        have = "pair has" if absent == 1 else "pairs have"
        notes.assumed.append(f"{absent} {have} no link in the file and those of the network")
    links = tuple(
        Link(
            between=(names[pair.one], names[pair.other]),
            bytes_per_s=pair.bytes_per_s,
            latency_s=pair.latency_s,
        )
        for pair in kept
    )
    return ClusterFacts(
        path=source.path,
        kind="links between regions",
        sha256=source.sha256,
        notes=notes,
        hosts=tuple(names.values()),
        links=links,
    )


def _columns(source: Source, header: Row, unit: str | None) -> _Columns:
    number, names = header
    bandwidth = next((i for i, name in enumerate(names) if "bandwidth" in name.lower()), None)
    latency = next((i for i, name in enumerate(names) if "latency" in name.lower()), None)
    if bandwidth is None or bandwidth < 2 or latency in (0, 1):
        raise source.error("expected two columns of regions, then latency and bandwidth", number, 1)
    written = _IN_UNIT.search(names[bandwidth])
    chosen = unit or (f"{written[1]}/s" if written else None)
    if chosen is None:
        raise source.error(
            f"{names[bandwidth][:40]!r} does not say its unit", number, hint="give --unit, as GiB/s"
        )
    latency_unit = 0.0
    if latency is not None:
        found = _IN_TIME.search(names[latency])
        if found is None:
            raise source.error(f"{names[latency][:40]!r} does not say its unit", number)
        latency_unit = unit_factor(SECONDS, found[1])
    try:
        factor = unit_factor(BYTES_PER_SECOND, chosen)
    except UnitError as error:
        raise source.error(str(error), number) from error
    return _Columns(bandwidth, factor, latency, latency_unit)


def _pair(source: Source, number: int, cells: list[str], columns: _Columns) -> _Pair:
    needed = max(columns.bandwidth, columns.latency or 0)
    if len(cells) <= needed:
        raise source.error(f"{len(cells)} columns; the first line has more", number)
    one, other = cells[0], cells[1]
    if not one or not other or one == other:
        raise source.error(f"expected two regions, found {one[:40]!r} and {other[:40]!r}", number)

    def value(index: int, what: str) -> float:
        column = sum(len(cell) + 1 for cell in cells[:index]) + 1
        return positive(source, cells[index], number, column, what)

    latency = columns.latency
    return _Pair(
        line=number,
        one=one,
        other=other,
        bytes_per_s=_scaled(value(columns.bandwidth, "bandwidth"), columns.bandwidth_unit),
        latency_s=None
        if latency is None
        else _scaled(value(latency, "latency"), columns.latency_unit),
    )


def _scaled(value: float, unit: float) -> float:
    """A figure in the base unit, without the rounding errors of the product."""
    return float(f"{value * unit:.12g}")


def _without_typos(pairs: list[_Pair], notes: Notes) -> list[_Pair]:
    """The pairs; an implausible bandwidth is replaced by that of the pairs nearest in latency."""
    expected = _expected(pairs)
    kept = []
    for pair in pairs:
        usual = expected.get(pair.line, pair.bytes_per_s)
        ratio = pair.bytes_per_s / usual
        if max(ratio, 1 / ratio) < SUSPICIOUS:
            kept.append(pair)
            continue
        usual, stated = (float(f"{rate:.4g}") for rate in (usual, pair.bytes_per_s))
        kept.append(replace(pair, bytes_per_s=usual))
        way = "below" if ratio < 1 else "above"
        notes.assumed.append(
            f"line {pair.line}, {pair.one} to {pair.other}: {format_bytes_per_second(usual)}, as "
            f"links of like latency have; the file's {format_bytes_per_second(stated)} "
            f"is {max(ratio, 1 / ratio):,.0f} times {way} them and looks like a typo"
        )
    return kept


def _expected(pairs: list[_Pair]) -> dict[int, float]:
    """By line, the median bandwidth of the pairs nearest in latency; empty for few pairs."""
    if len(pairs) <= _NEIGHBOURS:
        return {}
    ordered = sorted(pairs, key=lambda pair: pair.latency_s or 0.0)
    found = {}
    for index, pair in enumerate(ordered):
        start = max(0, min(index - _NEIGHBOURS // 2, len(ordered) - _NEIGHBOURS - 1))
        near = ordered[start : start + _NEIGHBOURS + 1]
        found[pair.line] = median(one.bytes_per_s for one in near if one is not pair)
    return found
