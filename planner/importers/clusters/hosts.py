"""Host names: those a cluster file may hold, and lists of them written short."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from planner.importers.notes import Notes
from planner.specs.cluster.hosts import expand_hosts

_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})([^0-9]*)")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def clean_hosts(names: Sequence[str], notes: Notes) -> tuple[str, ...]:
    """Names with characters that no host name has replaced by dashes; a note says so."""
    cleaned = [_NOT_IN_NAMES.sub("-", name).strip("-._")[:200] or "host" for name in names]
    if len(set(cleaned)) < len(set(names)):
        cleaned = [f"{name}-{index}" for index, name in enumerate(cleaned)]
    changed = [old for old, new in zip(names, cleaned, strict=True) if old != new]
    if changed:
        notes.assumed.append(
            f"host names without characters that none may have: {changed[0][:60]!r} and "
            f"{len(changed) - 1} more"
            if len(changed) > 1
            else f"host name {changed[0][:60]!r} without characters that none may have"
        )
    return tuple(cleaned)


def short(names: Sequence[str]) -> str | list[str]:
    """`node[01-16,18]` where that stands for the names in their order, else the list."""
    text = ",".join(_runs(names))
    if "[" not in text:
        return list(names)
    try:
        same = expand_hosts(text) == tuple(names)
    except ValueError:
        same = False
    return text if same else list(names)


def _runs(names: Iterable[str]) -> list[str]:
    parts: list[str] = []
    prefix, suffix, width = "", "", 0
    numbers: list[int] = []

    def close() -> None:
        if numbers:
            parts.append(f"{prefix}{_ranges(numbers, width)}{suffix}")

    for name in names:
        match = _NUMBERED.fullmatch(name)
        if match is None:
            close()
            numbers = []
            parts.append(name)
            continue
        key = (match[1], match[3], len(match[2]))
        if numbers and key != (prefix, suffix, width):
            close()
            numbers = []
        prefix, suffix, width = key
        numbers.append(int(match[2]))
    close()
    return parts


def _ranges(numbers: list[int], width: int) -> str:
    if len(numbers) == 1:
        return f"{numbers[0]:0{width}d}"
    pieces: list[str] = []
    start = last = numbers[0]
    for number in [*numbers[1:], -1]:
        if number == last + 1:
            last = number
            continue
        first = f"{start:0{width}d}"
        pieces.append(first if start == last else f"{first}-{last:0{width}d}")
        start = last = number
    return f"[{','.join(pieces)}]"
