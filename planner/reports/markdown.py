"""The pieces of Markdown that generated documents are made of."""

from __future__ import annotations

import re
from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING

from planner.wording.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH = 100

_MARKS = re.compile(r"([\\*_|\[`~])")
_BAR = re.compile(r"(?<!\\)\|")


def wrapped(lines: Iterable[str]) -> Iterable[str]:
    """Prose broken at the width of the other documents; tables and headings as they are."""
    for line in lines:
        if len(line) <= WIDTH or line.startswith(("|", "#")):
            yield line
        else:
            yield from wrap(line, WIDTH, subsequent_indent="  " * line.startswith("- "))


def code(text: str) -> str:
    """The text, on one line, in a code span: between more backticks than stand side by side in it
    (CommonMark 0.31, section 6.1)."""
    shown = printable(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    room = " " if "`" in shown or not shown.strip() else ""
    return f"{fence}{room}{shown}{room}{fence}"


def plain(text: str) -> str:
    """The text, on one line, in which Markdown and HTML see nothing of theirs, mentions either."""
    shown = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")
    return _MARKS.sub(r"\\\1", shown).replace("@", "@<!-- -->")


def html(text: str) -> str:
    """The text, on one line, between tags."""
    return escape(printable(text))


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, the first column left-aligned, the others right. A bar in a cell, code
    spans too, is written so that it ends no cell (GFM 0.29, section 4.10)."""
    return [
        f"| {' | '.join(headers)} |",
        f"|---|{'---:|' * (len(headers) - 1)}",
        *(f"| {' | '.join(map(_cell, row))} |" for row in rows),
    ]


def _cell(text: str) -> str:
    return _BAR.sub(r"\\|", text.replace("\n", ", "))
