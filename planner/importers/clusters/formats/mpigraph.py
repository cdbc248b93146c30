"""mpiGraph: the log it prints, and the JSON that Pipette's scripts make of it.

mpiGraph (LLNL, mpiGraph.c) divides bytes by 1024 · 1024: its figures are MiB/s. In the `Send` table
rows send, in `Recv` rows receive. Pipette's `log_to_csv.py` writes the receive table under "0" and
the send table under "1".
"""

from __future__ import annotations

import re
from typing import Any

from planner.importers.clusters.facts import ClusterFacts, Matrix, MatrixRow
from planner.importers.clusters.formats.cells import (
    LARGEST,
    check_hosts,
    row_of_bandwidths,
    without_blank_end,
)
from planner.importers.clusters.hosts import clean_hosts
from planner.importers.notes import Notes
from planner.importers.source import Source
from planner.specs.files.document import Location
from planner.specs.files.json_file import JsonFile, parse_json
from planner.specs.units import describe

UNIT = "MiB/s"
MOST_NODES = 5_000

_TABLE = re.compile(r"^(Send|Recv)\t(\S+:\d+\t?.*)$", re.MULTILINE)
_TASK = re.compile(r":\d+$")


def looks_like_log(text: str) -> bool:
    return "START mpiGraph" in text or _TABLE.search(text) is not None


def looks_like_json(tree: Any) -> bool:
    return isinstance(tree, dict) and any(
        isinstance(entry, dict) and {"gpus", "bandwidth"} <= set(entry) for entry in tree.values()
    )


def read_log(source: Source, unit: str | None) -> ClusterFacts:
    """Raises: InputError at the row that is wrong, and for a log without tables."""
    lines = source.lines()
    headers = {}
    for number, line in enumerate(lines, start=1):
        match = _TABLE.match(line)
        if match and match[1] not in headers:
            headers[match[1]] = number
    if not headers:
        raise source.error("holds no Send or Recv table of mpiGraph; did the run end?")
    table = "Send" if "Send" in headers else "Recv"
    names = [name for name in lines[headers[table] - 1].split("\t")[1:] if name.strip()]
    hosts = tuple(_TASK.sub("", name.strip()) for name in names)
    check_hosts(source, hosts)
    rows = []
    for offset, name in enumerate(names, start=1):
        rows.append(_row(source, lines, headers[table] + offset, name, offset - 1, len(names)))
    notes = Notes()
    if table == "Recv":
        rows = _transposed(rows)
        notes.assumed.append("the Recv table, rows and columns exchanged: there is no Send table")
    elif "Recv" in headers:
        notes.left_out.append("the Recv table: what the same transfers looked like to receivers")
    return _facts(source, "mpiGraph log", notes, hosts, rows, unit)


def _row(
    source: Source, lines: list[str], number: int, name: str, own: int, size: int
) -> MatrixRow:
    cells = lines[number - 1].split("\t") if number <= len(lines) else []
    label = cells[0].removesuffix(" to").removesuffix(" from").strip() if cells else ""
    if label != name.strip():
        raise source.error(f"the row of {name.strip()[:60]} is missing; was the log cut?", number)
    cells = without_blank_end([cell.strip() for cell in cells], size + 1)
    return row_of_bandwidths(source, cells, number, own, size)


def _transposed(rows: list[MatrixRow]) -> list[MatrixRow]:
    return [tuple(column) for column in zip(*rows, strict=True)]


def read_json(source: Source, unit: str | None) -> ClusterFacts:
    """Raises: InputError at the entry that is wrong."""
    file = parse_json(source.text, source.path)
    tree = file.mapping(file.tree)
    notes = Notes()
    sends = "1" in tree or "0" not in tree
    key = "1" if "1" in tree else "0" if "0" in tree else next(iter(tree))
    entry = file.mapping(tree[key], (key,))
    names = file.sequence(entry.get("gpus"), (key, "gpus"))
    if len(names) > MOST_NODES or not all(isinstance(name, str) for name in names):
        raise file.error(f"expected names of at most {MOST_NODES} hosts", (key, "gpus"))
    hosts = tuple(_TASK.sub("", name.strip()) for name in names)
    check_hosts(source, hosts)
    table = file.sequence(entry.get("bandwidth"), (key, "bandwidth"))
    if len(table) != len(hosts):
        raise file.error(f"{len(table)} rows for {len(hosts)} hosts", (key, "bandwidth"))
    rows = [
        _json_row(file, row, index, len(names), (key, "bandwidth", index))
        for index, row in enumerate(table)
    ]
    if not sends:
        rows = _transposed(rows)
        notes.assumed.append('table "0" is what rows receive; rows and columns exchanged')
    elif "0" in tree and key == "1":
        notes.assumed.append('table "1" is what rows send, "0" what they receive')
        notes.left_out.append('table "0": what the same transfers looked like to receivers')
    return _facts(source, "mpiGraph JSON", notes, hosts, rows, unit)


def _json_row(file: JsonFile, row: Any, own: int, size: int, at: Location) -> MatrixRow:
    values = file.sequence(row, at)
    if len(values) != size:
        raise file.error(f"{len(values)} values for {size} hosts", at)
    found: list[float | None] = []
    for index, value in enumerate(values):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if index == own or value is None:
            found.append(None)
        elif not number or not 0 < value <= LARGEST:
            message = (
                f"expected a bandwidth above 0, or null where none was measured, found "
                f"{describe(value)}"
            )
            raise file.error(message, (*at, index))
        else:
            found.append(float(value))
    return tuple(found)


def _facts(
    source: Source,
    kind: str,
    notes: Notes,
    hosts: tuple[str, ...],
    rows: list[MatrixRow],
    unit: str | None,
) -> ClusterFacts:
    if unit is None:
        notes.assumed.append(f"figures are {UNIT}, as mpiGraph counts; --unit says otherwise")
    notes.read.append(f"bandwidth between {len(hosts)} nodes")
    matrix = Matrix(hosts=clean_hosts(hosts, notes), rows=tuple(rows), unit=unit or UNIT)
    notes.assumed += matrix.gaps()
    return ClusterFacts(
        path=source.path,
        kind=kind,
        sha256=source.sha256,
        notes=notes,
        hosts=matrix.hosts,
        matrix=matrix,
    )
