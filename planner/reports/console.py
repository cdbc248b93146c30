"""Consoles: where reports go and what the place can show."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

from planner.reports.encoding import prepare_stream

if TYPE_CHECKING:
    from rich.console import RenderableType

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
        console.print(report)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def show(report: RenderableType) -> None:
    """Writes a report to stdout."""
    console = make_console()
    console.file.write(render(report, console))
    console.file.flush()
