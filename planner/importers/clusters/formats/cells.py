"""Numbers in tables, and messages about cells that are not numbers."""

from __future__ import annotations

import re

from planner.importers.clusters.facts import MatrixRow
from planner.importers.source import Source

LARGEST = 1e15

_HINT = "leave the cell empty where nothing was measured"

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


def is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def positive(
    source: Source, text: str, line: int, column: int, what: str, *, hint: str | None = None
) -> float:
    """A number above 0. Raises: InputError at the cell."""
    if not is_number(text):
        message = f"{what}: expected a number, found {text[:40]!r}"
        raise source.error(message, line, column, hint=hint)
    value = float(text)
    if not 0 < value <= LARGEST:
        message = f"{what}: {text[:40]} is not a number above 0"
        raise source.error(message, line, column, hint=hint)
    return value


def without_blank_end(cells: list[str], width: int = 1) -> list[str]:
    """The cells without the empty ones at the end, but at least `width` cells."""
    while len(cells) > width and not cells[-1]:
        cells = cells[:-1]
    return cells


def row_of_bandwidths(
    source: Source, cells: list[str], line: int, own: int, size: int
) -> MatrixRow:
    """The numbers of a row after its name; None for empty cells, and for the row's own cell
    whatever it holds.

    Raises: InputError at the first cell that is neither empty nor a number above 0.
    """
    values = cells[1:]
    if len(values) == own == size - 1:
        values = [*values, ""]
    if len(values) != size:
        raise source.error(f"{len(values)} values for {size} nodes", line)
    found: list[float | None] = []
    for index, text in enumerate(values):
        if index == own or not text:
            found.append(None)
        elif is_number(text) and 0 < float(text) <= LARGEST:
            found.append(float(text))
        else:
            column = sum(len(cell) + 1 for cell in cells[: index + 1]) + 1
            found.append(positive(source, text, line, column, "bandwidth", hint=_HINT))
    return tuple(found)


def check_hosts(source: Source, hosts: tuple[str, ...]) -> None:
    """Raises: InputError for names that occur twice, and for fewer than two names."""
    seen: set[str] = set()
    for host in hosts:
        if host in seen:
            raise source.error_naming(
                f"{host[:60]} has several rows: the benchmark ran with more than one process per "
                "node; run it with one process per node",
                host,
            )
        seen.add(host)
    if len(hosts) < 2:
        raise source.error(f"needs two nodes or more, found {len(hosts)}")
