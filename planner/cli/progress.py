"""What a search is doing, on stderr, once it has taken a second."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from planner.wording.units import count, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.training.search.search import Progress

QUIET_S = 1.0
TERMINAL_INTERVAL_S = 0.1
FILE_INTERVAL_S = 10.0
LINE_WIDTH = 79
PHASES = {
    "bounding": "bounding",
    "refining": "pricing in full",
    "explaining": "looking for what would fit",
}


class ProgressLine:
    """One line that is rewritten on a terminal; elsewhere a line every ten seconds. The quiet
    second starts with the first report: what comes before the search is no part of it."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._due: float | None = None
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
        now = self._clock()
        if self._due is None:
            self._due = now + QUIET_S
        if now < self._due:
            return
        self._due = now + (TERMINAL_INTERVAL_S if self._terminal else FILE_INTERVAL_S)
        self._shown = True
        text = describe(progress)
        self._write(f"\r{text:{LINE_WIDTH}.{LINE_WIDTH}}" if self._terminal else f"{text}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def describe(progress: Progress) -> str:
    """`pricing in full: 23,412 combinations, 1,203 fit, 17 priced; best 31.4 s, bound 30.9 s`"""
    text = (
        f"{PHASES.get(progress.phase, progress.phase)}: {count(progress.candidates)} combinations, "
        f"{count(progress.fitting)} fit, {count(progress.refined)} priced"
    )
    if progress.best_step_s is not None:
        text += f"; best {seconds(progress.best_step_s)}"
        if progress.bound_s is not None:
            text += f", bound {seconds(progress.bound_s)}"
    return text
