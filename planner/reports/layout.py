"""The few shapes reports are built from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import Box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

BAR_WIDTH = 24
RULED = Box("    \n    \n ── \n    \n    \n    \n    \n    \n", ascii=True)
"""A rule under the header and nothing else. Called ASCII so that rich leaves it alone where the
encoding lacks the line: the console's own fallback replaces it without moving a column."""
MANY_COLUMNS = 11
UNLIMITED = 10_000


def heading(text: str) -> RenderableType:
    return Padding(Text(text, style="bold"), (1, 0, 0, 0))


def paragraph(text: str, style: str = "") -> RenderableType:
    return Text(text, style=style)


def bullets(items: Iterable[str]) -> RenderableType:
    """One bullet per distinct item, wrapped with a hanging indent."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for item in dict.fromkeys(items):
        grid.add_row(Text(" •"), Text(item))
    return grid


def numbers_table(columns: int) -> Table:
    """A table without vertical lines for that many columns, which the caller adds; many columns
    stand closer together."""
    gap = 0 if columns > MANY_COLUMNS else 1
    return Table(box=RULED, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))


class FirstThatFits:
    """The first of several tables that is no wider than the terminal, else the last."""

    def __init__(self, *tables: Table) -> None:
        self._tables = tables

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        *wider, last = self._tables
        free = options.update(width=UNLIMITED)
        for table in wider:
            if console.measure(table, options=free).maximum <= options.max_width:
                yield table
                return
        yield last


def bar(share: float, width: int = BAR_WIDTH) -> str:
    """A bar of up to `width` blocks; anything above zero shows at least one."""
    blocks = round(share * width)
    return "█" * max(blocks, 1 if share > 0 else 0)
