"""The least step of answers over all splits of their layers over chunks, as far as it is below what
is to be beaten.

An answer says which class of devices holds each stage and how many layers. The average of paths
that bounds one answer best (`planner.training.search.mixed.averages`) bounds all of them, so few
need one of their own. Where that is not enough, the splits of one answer are tried
(`planner.training.search.mixed.split_tries`).

Letters: B answers, p stages.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.training.search.mixed.answer_paths import AnswerPaths
from planner.training.search.mixed.averages import longest_average
from planner.training.search.mixed.descent import Descents
from planner.training.search.mixed.order_problem import largest_row_s
from planner.training.search.mixed.split_tries import Split, SplitTries

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.budget import Budget
    from planner.solver import Solver
    from planner.training.search.mixed.cuts import Paths
    from planner.training.search.mixed.order_problem import Orders
    from planner.training.search.mixed.program import OrderTables
    from planner.training.search.mixed.splits import ChunkWays, StageWays
    from planner.training.search.mixed.typed import TypedCombination

PROGRAMS = 96
"""Most answers of a program for which paths are looked for."""

PATHS = 512
"""Most paths that are looked for, beside those of the last of these answers."""

AVERAGES = 8
"""Most averages by which splits are excluded."""

FEW = 128
"""Answers that are tried one by one before a program bounds them all."""


@dataclass(slots=True, kw_only=True)
class SettledSplits:
    """No split of any answer takes less than `bound_s`; the best splits found, fastest first."""

    bound_s: float
    splits: list[Split]


class SplitSearch:
    """The answers of one program of a combination. `paths` are known ones of its schedule."""

    def __init__(
        self,
        of: TypedCombination,
        program: OrderTables,
        orders: Orders,
        ways: StageWays,
        paths: Paths,
        solver: Solver,
        budget: Budget = UNLIMITED,
        *,
        averages: Paths | None = None,
    ) -> None:
        """`averages` of paths: known ones."""
        self._solver, self._budget = solver, budget
        self._of, self._chunk_seconds = of, program.chunk_seconds
        self._answers = AnswerPaths(of, program, orders, ways, paths)
        self.averages = paths.some(np.zeros(0, dtype=np.int64))
        """Those that were looked for here."""
        self._binding = np.zeros(0, dtype=np.int64)
        self._low = largest_row_s(program.problem, orders)
        self._tight = not self._answers.even_fits(int(self._low.argmin()))
        self._cells = self._listed_cells()
        if averages is not None and len(averages):
            self._low = np.maximum(self._low, self._averages_s(averages))

    @property
    def paths(self) -> Paths:
        """Those that are known by now."""
        return self._answers.paths

    def good(self, below_s: float) -> list[Split]:
        """Splits below that, found without a proof. Raises: OutOfTime."""
        if not self._of.free:
            return []
        which = np.argsort(self._low, kind="stable")[: int((self._low < below_s).sum())]
        descents = Descents(self._of, self._answers, self._chunk_seconds, self._budget)
        return descents.best(which, below_s)

    def settle(self, below_s: float) -> SettledSplits:
        """Until no answer is below. Raises: OutOfTime."""
        splits: list[Split] = []
        open_ = self._low < below_s
        programs, most = PROGRAMS, len(self.paths) + PATHS
        while open_.any():
            self._budget.check()
            answer = int(np.where(open_, self._low, inf).argmin())
            more = programs > 0 and len(self.paths) < most
            found = None if more and open_.sum() > FEW else self._least_split(answer, below_s)
            if found is None and more:
                programs -= 1
                self._raise(answer, below_s)
                open_ &= self._low < below_s
                if not open_[answer]:
                    continue
                found = self._least_split(answer, below_s)
            if found is None:
                # No bound on all answers is above what is known of this one.
                below_s = min(below_s, float(self._low[answer]))
                open_ = self._low < below_s
                continue
            self._low[answer] = max(self._low[answer], found.seconds)
            open_[answer] = False
            if len(found.chunks):
                splits.append(found)
                below_s = min(below_s, found.seconds)
            open_ &= self._low < below_s
        splits.sort(key=lambda one: one.seconds)
        return SettledSplits(bound_s=min(below_s, float(self._low.min())), splits=splits)

    def _listed_cells(self) -> list[tuple[Ints, list[ChunkWays | None]]]:
        """By stage: which of its different kinds of cells, class and layers, each answer has, [B],
        and the ways of these. Answers with a stage that fits in no way are left out."""
        cells: list[tuple[Ints, list[ChunkWays | None]]] = []
        layers, classes = self._answers.orders.layers, self._answers.classes
        size = int(layers.max(initial=0)) + 1
        for stage in range(layers.shape[1]):
            codes = classes[:, stage] * size + layers[:, stage]
            kinds, which = np.unique(codes, return_inverse=True)
            ways = [
                self._answers.ways.of(
                    stage, int(kind) // size, int(kind) % size, priced=self._tight
                )
                for kind in kinds
            ]
            fits = np.array([one is not None for one in ways])
            self._low = np.where(fits[which], self._low, inf)
            cells.append((which, ways))
        return cells

    def _ways(self, answer: int) -> list[ChunkWays]:
        """Those of the stages of an answer that may fit."""
        found = [ways[which[answer]] for which, ways in self._cells]
        return [one for one in found if one is not None]

    def _raise(self, answer: int, below_s: float) -> None:
        """Bound all answers by the average of paths that is best for one."""
        of = self._answers
        shares = longest_average(
            of, answer, self._ways(answer), below_s, self._solver, self._budget
        )
        if shares is not None:
            self._binding = np.flatnonzero(shares > 0)
            average = of.paths.average(shares)
            self.averages = self.averages.joined(average)
            self._low = np.maximum(self._low, self._averages_s(average))

    def _averages_s(self, averages: Paths) -> Floats:
        """[B]: a lower bound on every split of every answer: the longest of some averages of paths,
        each under the ways that are best for it."""
        total = self._answers.fixed_s(np.arange(len(self._low)), averages)
        for stage, (which, ways) in enumerate(self._cells):
            least = np.full((len(ways), len(averages)), inf)
            for kind, one in enumerate(ways):
                if one is not None:
                    least[kind] = (one.corners_s @ averages.passes[:, stage].T).min(axis=0)
            total = total + least[which]
        return np.asarray(total.max(axis=1))

    def _least_split(self, answer: int, below_s: float) -> Split | None:
        """The fastest split of an answer, without chunks where none is below; None where there are
        too many to tell."""
        of, ways = self._answers, self._ways(answer)
        if not all(one.complete for one in ways):
            return None
        fixed = of.known_s(answer, ways)
        rows = of.paths.some(np.union1d(of.in_use(fixed, ways), self._binding))
        rows = rows.joined(self.averages.last(AVERAGES))
        return SplitTries(of, answer, rows, self._budget).least(ways, below_s, priced=self._tight)
