"""Host names as Slurm writes a set of them: `node[001-003,012],login1`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})", re.DOTALL)


def hostlist(names: Iterable[str]) -> str:
    """The names of a set of hosts, those that differ in their last number together. Zero padding
    is kept; the order is not."""
    found = [(name, _NUMBERED.fullmatch(name)) for name in names]
    padded = {(m[1], len(m[2])) for _, m in found if m is not None and m[2].startswith("0")}
    numbers: dict[tuple[str, int], list[int]] = {}
    whole: list[str] = []
    for name, match in found:
        if match is None:
            whole.append(name)
        else:
            width = len(match[2]) if (match[1], len(match[2])) in padded else 0
            numbers.setdefault((match[1], width), []).append(int(match[2]))
    grouped = [_numbered(prefix, width, group) for (prefix, width), group in numbers.items()]
    return ",".join([*grouped, *whole])


def _numbered(prefix: str, width: int, numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"{prefix}{numbers[0]:0{width}d}"
    ranges = ",".join(
        f"{first:0{width}d}" if first == last else f"{first:0{width}d}-{last:0{width}d}"
        for first, last in _runs(sorted(numbers))
    )
    return f"{prefix}[{ranges}]"


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of every run of consecutive numbers."""
    for _, run in groupby(enumerate(numbers), key=lambda item: item[1] - item[0]):
        found = [number for _, number in run]
        yield found[0], found[-1]
