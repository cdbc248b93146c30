"""What a search is doing, on stderr, once it has taken a second."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from planner.wording.units import count, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.serving.search.job import ServingProgress
    from planner.sweeps.sweep import SweepProgress
    from planner.training.search.search import Progress

QUIET_S = 1.0
TERMINAL_INTERVAL_S = 0.1
FILE_INTERVAL_S = 10.0
"""Between the first two lines in a file; each later one takes twice as long as the one before."""
LINE_WIDTH = 79
PHASES = {
    "bounding": "bounding",
    "refining": "pricing in full",
    "layouts": "moving layers",
    "modules": "choosing modules",
    "fewer": "leaving nodes idle",
    "explaining": "looking for what would fit",
    "mixing": "mixing pools",
    "front": "drawing the front",
}


class ProgressLine:
    """One line that is rewritten on a terminal; elsewhere a line after 1, 11, 31, 71, … seconds, so
    that an hour of search leaves ten lines in a log. The quiet
    second starts with the first report: what comes before the search is no part of it.
    `limit_s`: the time limit of the search, which the line names."""

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        limit_s: float | None = None,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._limit_s = limit_s
        self._terminal = self._stream.isatty()
        self._began: float | None = None
        self._due = 0.0
        self._interval_s = TERMINAL_INTERVAL_S if self._terminal else FILE_INTERVAL_S
        self._shown = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown and self._terminal:
            self._write(f"\r{'':{LINE_WIDTH}}\r")

    def update(self, progress: Progress) -> None:
        """Where a search is."""
        self._say(lambda spent_s: describe(progress, spent_s, self._limit_s))

    def _say(self, text_after: Callable[[float], str]) -> None:
        now = self._clock()
        if self._began is None:
            self._began, self._due = now, now + QUIET_S
        if now < self._due:
            return
        self._due = now + self._interval_s
        if not self._terminal:
            self._interval_s *= 2
        self._shown = True
        text = text_after(now - self._began)
        self._write(f"\r{text:{LINE_WIDTH}.{LINE_WIDTH}}" if self._terminal else f"{text}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class PointsLine(ProgressLine):
    """How far a study is, in the same way."""

    def __enter__(self) -> PointsLine:
        return self

    def points(self, progress: SweepProgress) -> None:
        """Where a study is."""
        self._say(
            lambda spent_s: (
                f"{count(progress.answered)} of {count(progress.points)} points, {spent_s:.0f} s"
            )
        )


class ServingLine(ProgressLine):
    """The same for a search of serving plans."""

    def __enter__(self) -> ServingLine:
        return self

    def update_serving(self, progress: ServingProgress) -> None:
        """Where a search is."""
        self._say(
            lambda spent_s: (
                f"{PHASES.get(progress.phase, progress.phase)}, {spent_s:.0f} s: "
                f"{count(progress.kinds)} kinds of replicas, {count(progress.priced)} simulated"
            )
        )


def describe(progress: Progress, spent_s: float, limit_s: float | None = None) -> str:
    """`pricing in full, 12 of 60 s: best 31.4 s, none below 30.9 s; 17 of 1,203 priced`"""
    phase = PHASES.get(progress.phase, progress.phase)
    spent = f"{spent_s:.0f} s" if limit_s is None else f"{spent_s:.0f} of {limit_s:.0f} s"
    if progress.best_step_s is None:
        combinations = f"{count(progress.candidates)} combinations, {count(progress.fitting)} fit"
        return f"{phase}, {spent}: {combinations}"
    best_s, bound_s = progress.best_step_s, progress.bound_s
    known = ""
    if bound_s is not None:
        known = ", nothing left is faster"
        if bound_s < best_s:
            known = f", none below {seconds(bound_s)}"
    priced = f"{count(progress.refined)} of {count(progress.fitting)} priced"
    return f"{phase}, {spent}: best {seconds(best_s)}{known}; {priced}"
