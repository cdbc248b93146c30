"""The fastest split of one answer's layers over the chunks of its stages.

The ways are tried stage by stage, dropped as soon as a path or an average of paths is too long, and
what is left is simulated.

Letters: B splits, J paths, R rows, p stages, v chunks of a stage, I ways of a stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.budget import UNLIMITED
from planner.schedule.simulation.simulate import step_spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats, Ints
    from planner.budget import Budget
    from planner.training.search.mixed.answer_paths import AnswerPaths
    from planner.training.search.mixed.cuts import Paths
    from planner.training.search.mixed.splits import ChunkWays

BEGUN = 1 << 14
"""Most beginnings of splits that are kept."""

GROWN = 1 << 18
"""Most beginnings that are looked at for one stage."""

AT_ONCE = 32
"""Splits that are simulated at once."""

LATEST = 64
"""Paths, the latest, of which the longest says which splits are simulated first."""

KNOWN = 640
"""Paths of a program's answers from which on no split adds its own: they are compared with each."""

SIMULATED = 1024
"""Most splits of one answer that are simulated."""


class Split(NamedTuple):
    """The layers of every chunk, [p, v], of an answer; none where no split takes less."""

    answer: int
    chunks: Ints
    seconds: float


class SplitTries:
    """`rows`: paths and averages that drop splits."""

    def __init__(
        self, of: AnswerPaths, answer: int, rows: Paths, budget: Budget = UNLIMITED
    ) -> None:
        self._of, self._answer, self._rows, self._budget = of, answer, rows, budget

    def least(self, ways: list[ChunkWays], below_s: float, *, priced: bool = False) -> Split | None:
        """Without chunks where none is below; None where there are too many to tell. `priced`:
        `ways` are those that fit. Raises: OutOfTime."""
        of, answer = self._of, self._answer
        best = Split(answer, np.zeros((0, 0), dtype=np.int64), below_s)
        chosen = self._begun(ways, below_s)
        simulated = 0
        while chosen is not None and len(chosen):
            self._budget.check()
            least = self._longest_s(ways, chosen)
            order = np.argsort(least, kind="stable")
            chosen = chosen[order][least[order] < best.seconds]
            tried, chosen = chosen[:AT_ONCE], chosen[AT_ONCE:]
            if not len(tried):
                break
            simulated += len(tried)
            if simulated > SIMULATED:
                return None
            passes = np.stack([one.seconds[tried[:, s]] for s, one in enumerate(ways)], axis=1)
            spans = step_spans(of.schedule, of.durations(answer, passes))
            seconds = spans + of.beside_s[answer]
            ranked = np.argsort(seconds, kind="stable")
            for index in ranked[seconds[ranked] < best.seconds].tolist():
                chunks = np.stack([one.chunks[tried[index, s]] for s, one in enumerate(ways)])
                if of.ways.fit(of.classes[answer], chunks):
                    best = Split(answer, chunks, float(seconds[index]))
                    break
                if not priced:
                    fitting = of.ways_of(answer, priced=True)
                    if fitting is None:
                        return best
                    priced, ways = True, fitting
                    chosen = self._begun(ways, best.seconds)
                    break
            for index in ranked[:2].tolist() if len(of.paths) < KNOWN else ():
                of.added(answer, passes[index])
        return best if chosen is not None else None

    def _begun(self, ways: Sequence[ChunkWays], below_s: float) -> Ints | None:
        """[B, p]: the ways of every stage of the splits that no row excludes; None where they are
        too many."""
        rows = self._rows
        besides = self._of.fixed_s(np.array([self._answer]), rows)[0]
        tables = [rows.passes[:, stage] @ one.seconds.T for stage, one in enumerate(ways)]
        rest = np.cumsum([table.min(axis=1) for table in tables][::-1], axis=0)[::-1]
        sums, chosen = besides[None], np.zeros((1, 0), dtype=np.int64)
        for stage, table in enumerate(tables):
            self._budget.check()
            if len(sums) * table.shape[1] > GROWN:
                return None
            after = rest[stage + 1] if stage + 1 < len(rest) else 0.0
            left = below_s - after - sums
            kept, way = np.nonzero(
                np.column_stack([(left > column).all(axis=1) for column in table.T])
            )
            if len(kept) > BEGUN:
                return None
            sums = sums[kept] + table.T[way]
            chosen = np.column_stack((chosen[kept], way))
        return chosen

    def _longest_s(self, ways: Sequence[ChunkWays], chosen: Ints) -> Floats:
        """[B]: the longest of the latest paths of every split."""
        paths = self._of.paths.last(LATEST)
        fixed = self._of.fixed_s(np.array([self._answer]), paths)[0]
        total = np.broadcast_to(fixed, (len(chosen), len(fixed)))
        for stage, one in enumerate(ways):
            total = total + (one.seconds @ paths.passes[:, stage].T)[chosen[:, stage]]
        return np.asarray(total.max(axis=1))
