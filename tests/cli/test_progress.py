"""The progress line: silent for a second, then short."""

from __future__ import annotations

import io

from planner.cli.progress import LINE_WIDTH, ProgressLine, describe
from planner.training.search.search import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


PROGRESS = Progress(
    phase="refining", candidates=23412, fitting=1203, refined=17, best_step_s=31.4, bound_s=30.9
)
TEXT = "pricing in full: 23,412 combinations, 1,203 fit, 17 priced; best 31.40 s, bound 30.90 s"


def test_the_line_itself() -> None:
    assert describe(PROGRESS) == TEXT
    early = Progress(
        phase="bounding", candidates=10, fitting=0, refined=0, best_step_s=None, bound_s=None
    )
    assert describe(early) == "bounding: 10 combinations, 0 fit, 0 priced"


def test_a_fast_search_says_nothing() -> None:
    clock, stream = Clock(), Terminal()
    with ProgressLine(stream, clock) as line:
        for clock.now in (5.0, 5.99):
            line.update(PROGRESS)
    assert stream.getvalue() == ""


def test_a_terminal_gets_one_line_that_vanishes() -> None:
    clock, stream = Clock(), Terminal()
    with ProgressLine(stream, clock) as line:
        for clock.now in (0.0, 1.0, 1.01, 1.05, 1.2):
            line.update(PROGRESS)
    shown = stream.getvalue()
    assert shown.count(TEXT[:60]) == 2
    assert "\n" not in shown
    assert shown.endswith(f"\r{'':{LINE_WIDTH}}\r")


def test_a_file_gets_a_line_every_ten_seconds() -> None:
    clock, stream = Clock(), io.StringIO()
    with ProgressLine(stream, clock) as line:
        for tick in range(30):
            clock.now = float(tick)
            line.update(PROGRESS)
    assert stream.getvalue() == f"{TEXT}\n" * 3
