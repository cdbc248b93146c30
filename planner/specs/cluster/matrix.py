"""Measured node-to-node bandwidth as CSV: a header row and a first column of host names.

Rows send, columns receive. The corner cell holds the unit when the cluster file gives none. An
empty cell is a link that was not measured.
"""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from planner.errors import InputError
from planner.specs.files.spelling import did_you_mean
from planner.specs.files.text_file import decode, read_bytes
from planner.specs.names import check_host
from planner.specs.quantities import BYTES_PER_SECOND, accepted_units
from planner.specs.units import UnitError, unit_factor

LARGEST_BYTES = 256 * 2**20
_FASTEST = float(BYTES_PER_SECOND.amount(BYTES_PER_SECOND.largest))
_SLOWEST = float(BYTES_PER_SECOND.amount(BYTES_PER_SECOND.least or "0 B/s"))
_LINE_END = re.compile(r"\r\n|\n|\r")
_HINT = "leave the cell empty where nothing was measured"
_NUMBERS = re.compile(r"[0-9eE.+-]*")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")

Row = tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixFile:
    """The content of a matrix file: `bytes_per_s[sender][receiver]`, all above 0. None where no
    link was measured, and on the diagonal, whatever the file has there. `rows`: the cells, for
    errors that name a place; the hosts are in line `header`."""

    hosts: tuple[str, ...]
    bytes_per_s: tuple[Row, ...]
    sha256: str
    rows: _Rows = field(repr=False, compare=False)
    header: int

    def error_at(self, host: str, message: str, *, hint: str | None = None) -> InputError:
        """An error where the header names a host."""
        return self.rows.error(message, self.header, 1 + self.hosts.index(host), hint=hint)


class _Rows:
    """The cells of a CSV file, and errors that name a cell's place."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = _LINE_END.split(text)

    def error(
        self, message: str, line: int, cell: int = 0, *, hint: str | None = None
    ) -> InputError:
        column = 1
        if 0 < line <= len(self._lines):
            before = self._lines[line - 1].split(",")[:cell]
            column = sum(len(part) + 1 for part in before) + 1
        return InputError(message, path=self._path, line=line, column=column, hint=hint)

    def read(self) -> list[tuple[int, list[str]]]:
        """Line numbers and cells of the lines that hold anything."""
        rows: list[tuple[int, list[str]]] = []
        for number, line in enumerate(self._lines, start=1):
            if line.strip():
                if '"' in line and line.count('"') % 2:
                    raise self.error("a quote that is not closed on its line", number)
                rows.append((number, self._cells(number, line)))
        return rows

    def _cells(self, number: int, line: str) -> list[str]:
        try:
            cells = next(csv.reader([line], skipinitialspace=True))
        except csv.Error as error:
            raise self.error(f"not CSV: {error}", number) from error
        return [cell.strip() for cell in cells]


def load_matrix(path: Path, *, unit: str | None = None) -> MatrixFile:
    """Read a matrix; `unit` wins over the corner cell.

    Raises: InputError with file, line and column of the first cell that is wrong.
    """
    data = read_bytes(path, largest=LARGEST_BYTES)
    rows = _Rows(path, decode(data, path))
    lines = rows.read()
    if not lines:
        raise InputError("the matrix is empty", path=path)
    first_line, header = lines[0]
    hosts = _hosts(rows, first_line, header[1:])
    factor = _factor(rows, first_line, header[0], unit)
    found: dict[str, Row] = {}
    places = {host: index for index, host in enumerate(hosts)}
    for line, cells in lines[1:]:
        host = cells[0]
        if host not in places:
            hint = did_you_mean(host, hosts[:1000])
            raise rows.error(f"row of host {host[:60]!r}, which the header lacks", line, hint=hint)
        if host in found:
            raise rows.error(f"host {host} has two rows", line)
        found[host] = _row(rows, line, cells, places[host], len(hosts), factor)
    missing = [host for host in hosts if host not in found]
    if missing:
        raise rows.error(f"no row for host {missing[0]}; the header names it", first_line)
    return MatrixFile(
        hosts=hosts,
        bytes_per_s=tuple(found[host] for host in hosts),
        sha256=hashlib.sha256(data).hexdigest(),
        rows=rows,
        header=first_line,
    )


def _hosts(rows: _Rows, line: int, names: list[str]) -> tuple[str, ...]:
    if not names:
        raise rows.error("the header names no hosts", line)
    seen: set[str] = set()
    for cell, name in enumerate(names, start=1):
        try:
            check_host(name)
        except ValueError as error:
            raise rows.error(str(error), line, cell) from error
        if name in seen:
            raise rows.error(f"host {name} is named twice", line, cell)
        seen.add(name)
    return tuple(names)


def _factor(rows: _Rows, line: int, corner: str, unit: str | None) -> float:
    """Bytes per second of one unit of the cells."""
    if unit is None and not corner:
        raise rows.error(
            "no unit; write it in the corner cell or as links.matrix.unit, such as MB/s", line
        )
    if unit is not None and (not corner or corner not in BYTES_PER_SECOND.units):
        return unit_factor(BYTES_PER_SECOND, unit)
    try:
        inside = unit_factor(BYTES_PER_SECOND, corner)
    except UnitError:
        accepted = accepted_units(BYTES_PER_SECOND)
        raise rows.error(
            f"the corner cell holds {corner[:40]!r}, not a unit; accepted: {accepted}", line
        ) from None
    if unit is not None and unit_factor(BYTES_PER_SECOND, unit) != inside:
        raise rows.error(f"the corner cell says {corner}, the cluster file {unit}", line)
    return inside


def _row(rows: _Rows, line: int, cells: list[str], own: int, size: int, factor: float) -> Row:
    """The bandwidths one host sends with; its own cell is ignored."""
    if len(cells) - 1 != size:
        raise rows.error(f"{len(cells) - 1} values for {size} hosts", line)
    values = cells[1:]
    values[own] = ""
    if _NUMBERS.fullmatch("".join(values)):
        try:
            numbers = [float(value) * factor if value else None for value in values]
        except ValueError:
            raise _wrong_cell(rows, line, values, factor) from None
        measured = [number for number in numbers if number is not None]
        if not measured or (min(measured) >= _SLOWEST and max(measured) <= _FASTEST):
            return tuple(numbers)
    raise _wrong_cell(rows, line, values, factor)


def _wrong_cell(rows: _Rows, line: int, values: list[str], factor: float) -> InputError:
    """The first cell of a row that is not a bandwidth."""
    for cell, text in enumerate(values, start=1):
        if not text:
            continue
        if not _NUMBER.fullmatch(text):
            return rows.error(f"expected a number, found {text[:40]!r}", line, cell, hint=_HINT)
        if float(text) * factor > _FASTEST:
            return rows.error(f"{text[:40]} is beyond any network", line, cell)
        if float(text) * factor <= 0:
            message = f"bandwidth must be positive, found {text[:40]}"
            return rows.error(message, line, cell, hint=_HINT)
        if float(text) * factor < _SLOWEST:
            at_least = BYTES_PER_SECOND.least
            return rows.error(f"{text[:40]} is below any network; at least {at_least}", line, cell)
    return rows.error("not a row of bandwidths", line)
