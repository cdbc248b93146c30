"""The streams: one JSON document on stdout, notes and errors on stderr."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import shortened
from planner.wording.printable import printable

if TYPE_CHECKING:
    from typing import TextIO


def note(text: str) -> None:
    """A line on stderr, for what is neither answer nor error."""
    _say(f"note: {text}")


def complain(*lines: str) -> None:
    """An error on stderr, each of its lines marked."""
    for line in lines:
        _say(f"error: {line}")


def _say(line: str) -> None:
    """One line of a bearable length, whatever it holds. A full stderr loses it, never the answer or
    the exit code."""
    try:
        print(shortened(printable(line)), file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def replace_closed_streams() -> None:
    """Text for a stream that was closed from the start has no reader."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def discard(stream: TextIO) -> None:
    """What the stream still holds goes nowhere when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def write_stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
