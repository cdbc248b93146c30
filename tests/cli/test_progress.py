"""The progress line: silent for a second, then short."""

from __future__ import annotations

import io
from dataclasses import replace

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
TEXT = "pricing in full, {} s: best 31.40 s, none below 30.90 s; 17 of 1,203 priced"


def test_the_line_itself() -> None:
    assert describe(PROGRESS, 12.3) == TEXT.format(12)
    assert describe(PROGRESS, 12.3, 60.0) == TEXT.format("12 of 60")
    early = Progress(
        phase="bounding", candidates=10, fitting=0, refined=0, best_step_s=None, bound_s=None
    )
    assert describe(early, 1.0) == "bounding, 1 s: 10 combinations, 0 fit"


def test_a_bound_above_the_best_is_no_bound_of_the_best() -> None:
    """What is left may be slower than the best: then nothing left is faster."""
    late = replace(PROGRESS, bound_s=32.0)
    assert "best 31.40 s, nothing left is faster;" in describe(late, 2.0)


def test_the_line_fits_a_terminal() -> None:
    longest = replace(PROGRESS, candidates=10**7, fitting=10**6, refined=999)
    assert len(describe(longest, 3600.0, 7200.0)) <= LINE_WIDTH + len("999 of 1,000,000")
    assert "none below 30.90 s" in describe(longest, 3600.0, 7200.0)[:LINE_WIDTH]


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
    assert shown.count(TEXT.format(1)) == 2
    assert "\n" not in shown
    assert shown.endswith(f"\r{'':{LINE_WIDTH}}\r")


def test_a_file_gets_a_line_at_growing_intervals() -> None:
    """An hour of search leaves few lines in a log."""
    clock, stream = Clock(), io.StringIO()
    with ProgressLine(stream, clock) as line:
        for tick in range(3600):
            clock.now = float(tick)
            line.update(PROGRESS)
    assert stream.getvalue() == "".join(
        f"{TEXT.format(tick)}\n" for tick in (1, 11, 31, 71, 151, 311, 631, 1271, 2551)
    )
