"""Numbers in tables, and what to say of those that are none."""

from __future__ import annotations

import re

from planner.errors import InputError
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


def check_square(
    source: Source, hosts: tuple[str, ...], rows: list[tuple[float, ...]]
) -> InputError | None:
    """What is wrong with a table that should have a row and a column for each host."""
    again = next((host for host in hosts if hosts.count(host) > 1), None) if _small(hosts) else None
    if again is None and len(set(hosts)) < len(hosts):
        again = "a host"
    if again is not None:
        return source.error(
            f"{again} has several rows: the benchmark ran with more than one process per node",
            hint="run it with one process per node",
        )
    if len(hosts) < 2:
        return source.error(f"needs two nodes or more, found {len(hosts)}")
    if len(rows) != len(hosts) or any(len(row) != len(hosts) for row in rows):
        return source.error(f"is not a table of {len(hosts)} by {len(hosts)}")
    return None


def _small(hosts: tuple[str, ...]) -> bool:
    return len(hosts) <= 1000
