"""The pieces of Markdown that generated documents are made of."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH = 100


def wrapped(lines: Iterable[str]) -> Iterable[str]:
    """Prose broken at the width of the other documents; tables and headings as they are."""
    for line in lines:
        if len(line) <= WIDTH or line.startswith(("|", "#")):
            yield line
        else:
            yield from wrap(line, WIDTH, subsequent_indent="  " * line.startswith("- "))


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, the first column left-aligned, the others right."""
    return [
        f"| {' | '.join(headers)} |",
        f"|---|{'---:|' * (len(headers) - 1)}",
        *(f"| {' | '.join(cell.replace(chr(10), ', ') for cell in row)} |" for row in rows),
    ]
