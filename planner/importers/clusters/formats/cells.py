"""Numbers in tables, and what to say of those that are none."""

from __future__ import annotations

import re

from planner.importers.source import Source

LARGEST = 1e15

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


def is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def positive(source: Source, text: str, line: int, column: int, what: str) -> float:
    """A number above 0. Raises: InputError at the cell."""
    if not is_number(text):
        raise source.error(f"{what}: expected a number, found {text[:40]!r}", line, column)
    value = float(text)
    if not 0 < value <= LARGEST:
        raise source.error(f"{what}: {text[:40]} is not a number above 0", line, column)
    return value


def row_of_bandwidths(
    source: Source, cells: list[str], line: int, own: int, size: int
) -> tuple[float, ...]:
    """The numbers of a row after its name; its own cell counts as 0, whatever it holds.

    Raises: InputError at the first cell that is no number above 0.
    """
    values = cells[1:]
    if len(values) == own == size - 1:
        values = [*values, ""]
    if len(values) != size:
        raise source.error(f"{len(values)} values for {size} nodes", line)
    found = []
    for index, text in enumerate(values):
        if index == own:
            found.append(0.0)
        elif is_number(text) and 0 < float(text) <= LARGEST:
            found.append(float(text))
        else:
            column = sum(len(cell) + 1 for cell in cells[: index + 1]) + 1
            found.append(positive(source, text, line, column, "bandwidth"))
    return tuple(found)


def check_hosts(source: Source, hosts: tuple[str, ...]) -> None:
    """Raises: InputError for names that stand twice, and for fewer than two."""
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
