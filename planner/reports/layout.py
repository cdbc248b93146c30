"""The few shapes reports are built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.box import Box
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult

BAR_WIDTH = 24
NARROWEST_BAR = 4
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


def narrowing(
    headers: Mapping[str, JustifyMethod], rows: Sequence[Sequence[str]], dropped: Sequence[str]
) -> FirstThatFits:
    """A table that leaves out the columns of `dropped`, one after the other, until it is no wider
    than the terminal. `headers`: every column, with how it is justified."""
    names = list(headers)
    left = [names]
    for name in dropped:
        left.append([one for one in left[-1] if one != name])
    return FirstThatFits(*(_of_columns(headers, rows, kept) for kept in left))


def _of_columns(
    headers: Mapping[str, JustifyMethod], rows: Sequence[Sequence[str]], kept: Sequence[str]
) -> Table:
    table = numbers_table(len(kept))
    for name in kept:
        table.add_column(name, justify=headers[name], no_wrap=True)
    places = [list(headers).index(name) for name in kept]
    for row in rows:
        table.add_row(*(row[place] for place in places))
    return table


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


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of up to `width` blocks, fewer where the terminal is narrow."""

    share: float
    width: int = BAR_WIDTH

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(NARROWEST_BAR, self.width), self.width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(bar(self.share, min(self.width, options.max_width)), no_wrap=True)


def bar(share: float, width: int = BAR_WIDTH) -> str:
    """A bar of up to `width` blocks; anything above zero shows at least one."""
    blocks = round(share * width)
    return "█" * max(blocks, 1 if share > 0 else 0)
