"""A plain table of node-to-node bandwidth: names in the first row and column, the unit in the
corner. Tables that mpiGraph's users cut out of its log have `Send` or `Recv` there."""

from __future__ import annotations

import csv
import re

from planner.importers.clusters.facts import ClusterFacts, Matrix, MatrixRow
from planner.importers.clusters.formats.cells import (
    check_hosts,
    is_number,
    row_of_bandwidths,
    without_blank_end,
)
from planner.importers.clusters.formats.mpigraph import MOST_NODES
from planner.importers.clusters.formats.mpigraph import UNIT as MPIGRAPH_UNIT
from planner.importers.clusters.hosts import clean_hosts
from planner.importers.notes import Notes
from planner.importers.source import Source
from planner.specs.quantities import BYTES_PER_SECOND, accepted_units
from planner.specs.units import UnitError, unit_factor

_TASK = re.compile(r":\d+$")
_NO_UNIT = (
    "",
    "host",
    "hosts",
    "node",
    "nodes",
    "from",
    "from/to",
    "src",
    "sender",
    "send",
    "recv",
)

Row = tuple[int, list[str]]


def rows_of(source: Source) -> list[Row]:
    """Line numbers and cells of the lines that hold anything, comments left out. Cells are
    separated by commas, or by semicolons or tabs where there are no commas. Empty cells beyond the
    end of the first line are left out."""
    lines = [
        (number, line)
        for number, line in enumerate(source.lines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    first = lines[0][1] if lines else ""
    delimiter = next((one for one in (",", ";", "\t") if one in first), None)
    found: list[Row] = []
    for number, line in lines:
        if delimiter is None:
            cells = line.split()
        else:
            try:
                cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
            except csv.Error as error:
                raise source.error(f"not CSV: {error}", number) from error
        width = len(found[0][1]) if found else 1
        found.append((number, without_blank_end([cell.strip() for cell in cells], width)))
    return found


def some_rows(source: Source) -> list[Row]:
    """As `rows_of`. Raises: InputError for a table without a second line."""
    rows = rows_of(source)
    if len(rows) < 2:
        raise source.error("expected a table: a line of names and more below it")
    return rows


def looks_like_matrix(source: Source) -> bool:
    """Whether a text is a square table of numbers and gaps, with or without names."""
    rows = rows_of(source)
    if len(rows) < 2 or len(rows) > MOST_NODES + 1:
        return False
    width = len(rows[0][1])
    first = rows[1][1][1:]
    fitting = sum(is_number(cell) or not cell for cell in first)
    return (
        width >= 2
        and len(rows) <= width + 1
        and fitting >= max(1, len(first) - 1)
        and any(is_number(cell) for _, cells in rows[1:] for cell in cells[1:])
    )


def read_matrix(source: Source, unit: str | None) -> ClusterFacts:
    """`unit` wins over the corner cell. Raises: InputError at the cell that is wrong."""
    rows = some_rows(source)
    notes = Notes()
    if all(is_number(cell) for cell in rows[0][1]):
        names = [f"node-{index}" for index in range(len(rows))]
        notes.assumed.append(f"nodes are called {names[0]} to {names[-1]}: the table has no names")
        body, corner = [(number, ["", *cells]) for number, cells in rows], ""
    else:
        corner, *names = rows[0][1]
        body = rows[1:]
    hosts = tuple(_TASK.sub("", name) for name in names)
    check_hosts(source, hosts)
    chosen = _unit(source, corner, unit, rows[0][0], notes)
    places = {host: index for index, host in enumerate(hosts)}
    found: dict[str, MatrixRow] = {}
    for index, (number, cells) in enumerate(body):
        name = _TASK.sub("", cells[0]) or (hosts[index] if index < len(hosts) else "")
        if name not in places:
            raise source.error(f"row of {name[:60]!r}, which the first row lacks", number)
        if name in found:
            raise source.error(f"{name} has two rows", number)
        found[name] = row_of_bandwidths(source, cells, number, places[name], len(hosts))
    missing = next((host for host in hosts if host not in found), None)
    if missing is not None:
        raise source.error(f"no row for {missing[:60]!r}, which the first row names", rows[0][0])
    ordered = [found[host] for host in hosts]
    if corner.lower() == "recv":
        ordered = [tuple(column) for column in zip(*ordered, strict=True)]
        notes.assumed.append("rows receive (the corner says Recv): rows and columns exchanged")
    notes.read.append(f"bandwidth between {len(hosts)} nodes, rows send")
    matrix = Matrix(hosts=clean_hosts(hosts, notes), rows=tuple(ordered), unit=chosen)
    notes.assumed += matrix.gaps()
    return ClusterFacts(
        path=source.path,
        kind="bandwidth table",
        sha256=source.sha256,
        notes=notes,
        hosts=matrix.hosts,
        matrix=matrix,
    )


def _unit(source: Source, corner: str, unit: str | None, line: int, notes: Notes) -> str:
    """The unit of the cells: --unit, else the corner's."""
    inside = corner.strip("()[] ")
    try:
        factor = unit_factor(BYTES_PER_SECOND, inside)
    except UnitError:
        factor = None
    if unit is not None:
        if factor is not None and factor != unit_factor(BYTES_PER_SECOND, unit):
            raise source.error(f"the corner says {inside}, --unit {unit}", line, 1)
        return unit
    if factor is not None:
        return inside
    if corner.lower() in ("send", "recv"):
        notes.assumed.append(f"figures are {MPIGRAPH_UNIT}, as mpiGraph counts")
        return MPIGRAPH_UNIT
    said = (
        "no unit" if corner.lower() in _NO_UNIT else f"{corner[:40]!r} in the corner is not a unit"
    )
    raise source.error(
        f"{said}; write one there or give --unit: {accepted_units(BYTES_PER_SECOND)}", line, 1
    )
