"""Consoles: where reports go and what the place can show."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.segment import Segment

from planner.reports.encoding import prepare_stream
from planner.wording.printable import log_line, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import ConsoleOptions, RenderableType

PIPE_WIDTH = 80
WIDEST = 100


def make_console(stream: TextIO | None = None) -> Console:
    """A console on `stream` (stdout): 80 columns where there is no terminal, at most 100 where
    there is one, no colour under NO_COLOR, and a stand-in for every character that the stream's
    encoding lacks."""
    file = sys.stdout if stream is None else stream
    prepare_stream(file)
    console = Console(file=file, markup=False, highlight=False, emoji=False, legacy_windows=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    console.width = min(console.width, WIDEST)
    return console


def render(report: RenderableType, console: Console) -> str:
    """The text of a report for that console, without blanks at the ends of lines."""
    with console.capture() as captured:
        console.print(_Printable(report))
    lines = captured.get().removesuffix("\n").split("\n")
    return "".join(f"{log_line(line.rstrip())}\n" for line in lines)


class _Printable:
    """A report without the control characters that names and files may have brought into it; the
    colours of the report are not text yet."""

    def __init__(self, report: RenderableType) -> None:
        self._report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self._report, options):
            if segment.control:
                yield segment
            else:
                yield Segment("\n".join(map(printable, segment.text.split("\n"))), segment.style)


def show(report: RenderableType) -> None:
    """Writes a report to stdout."""
    console = make_console()
    console.file.write(render(report, console))
    console.file.flush()
