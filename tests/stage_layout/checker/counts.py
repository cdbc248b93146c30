"""The variables of a stage layout, and the rows that make a layout of them.

n[k, j, ρ]   items of run j (consecutive items of one kind) on chunk k under pattern ρ, integer
led[k, j, ρ] how many of the items of runs up to j on chunk k the pattern recomputes
done[k, j]   1 where run j ends on chunk k or before, so that run j + 1 may begin there
takes[s, ρ]  1 where stage s recomputes by pattern ρ
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.stage_layout.problem import Layouts, fits, price

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pulp import LpProblem

    from planner.solver import Answer
    from planner.stage_layout.problem import LayoutProblem


class LayoutCounts:
    """Variables and rows of `rows`: every item on one chunk, runs in order, no chunk empty."""

    def __init__(self, problem: LayoutProblem, rows: LpProblem) -> None:
        from pulp import lpSum

        self._layout_problem, self._rows, self._sum = problem, rows, lpSum
        self.runs = runs_of(problem)
        """Kind and length of every run of equal items."""
        self._sizes = [size for _, size in self.runs]
        self._patterns = range(len(problem.patterns))
        self._stage = problem.placement.stage_of
        self._add_variables()
        self._add_order()
        self._led: dict[tuple[int, int, int], Any] = {}
        self._full: dict[tuple[int, int, int], Any] = {}
        for k in range(problem.chunks):
            for r in self._patterns:
                self._add_leads(k, r)

    def held(self, k: int, j: int) -> Any:
        """Items of run j on chunk k."""
        return self._sum(self._n[k, j, r] for r in self._patterns)

    def replayed(self, k: int, r: int) -> Iterator[tuple[int, Any]]:
        """Kind and number of the items of every run that chunk k recomputes by pattern r."""
        before: Any = 0
        for j, (kind, _) in enumerate(self.runs):
            if (k, j, r) in self._led:
                yield kind, self._led[k, j, r] - before
                before = self._led[k, j, r]

    def layout(self, answer: Answer) -> Layouts:
        """The layout that an answer with values stands for."""
        problem = self._layout_problem
        sizes = np.zeros(problem.chunks, dtype=np.int64)
        for k, j, r in self._keys():
            sizes[k] += round(answer.values[f"n_{k}_{j}_{r}"])
        patterns = [
            next(r for r in self._patterns if round(answer.values.get(f"takes_{s}_{r}", 1.0)))
            for s in range(problem.stages)
        ]
        ends = np.concatenate(([0], np.cumsum(sizes)))
        return Layouts(ends=ends[None], patterns=np.array([patterns], dtype=np.int64))

    def assignment(self, layout: Layouts) -> dict[str, float] | None:
        """The variables of a layout by name; None where it does not fit."""
        problem = self._layout_problem
        if not fits(problem, price(problem, layout))[0]:
            return None
        ends, patterns = layout.ends[0], layout.patterns[0]
        first = np.concatenate(([0], np.cumsum(self._sizes)))
        values = {f"takes_{s}_{patterns[s]}": 1.0 for s in range(problem.stages)}
        for k in range(problem.chunks):
            r = int(patterns[self._stage[k]])
            replayable = 0
            for j, (kind, _) in enumerate(self.runs):
                held = max(int(min(ends[k + 1], first[j + 1]) - max(ends[k], first[j])), 0)
                values[f"n_{k}_{j}_{r}"] = float(held)
                if (k, j) in self._done:
                    values[f"done_{k}_{j}"] = float(ends[k + 1] >= first[j + 1])
                if problem.replayable[kind]:
                    replayable += held
                if (k, j, r) in self._full:
                    layers = problem.patterns[r].layers
                    values[f"led_{k}_{j}_{r}"] = float(min(layers, replayable))
                    values[f"full_{k}_{j}_{r}"] = float(replayable >= layers)
        return values

    def _keys(self) -> list[tuple[int, int, int]]:
        return [
            (k, j, r)
            for k in range(self._layout_problem.chunks)
            for j in range(len(self.runs))
            for r in self._patterns
        ]

    def _require(self, rows: Iterable[Any]) -> None:
        for row in rows:
            self._rows += row

    def _add_variables(self) -> None:
        problem, add, sizes = self._layout_problem, self._rows.add_variable, self._sizes
        stages = range(problem.stages)
        self._n = {
            (k, j, r): add(f"n_{k}_{j}_{r}", 0, sizes[j], "Integer") for k, j, r in self._keys()
        }
        self._takes = {
            (s, r): add(f"takes_{s}_{r}", 0, 1, "Integer") for s in stages for r in self._patterns
        }
        self._done = {
            (k, j): add(f"done_{k}_{j}", 0, 1, "Integer")
            for k in range(problem.chunks)
            for j in range(len(sizes) - 1)
        }
        takes = self._takes
        for s in stages:
            self._rows += self._sum(takes[s, r] for r in self._patterns) == 1
            if s and problem.one_pattern:
                self._require(takes[s, r] == takes[0, r] for r in self._patterns)
        if len(problem.patterns) > 1:
            self._require(
                self._n[k, j, r] <= sizes[j] * takes[self._stage[k], r] for k, j, r in self._keys()
            )

    def _add_order(self) -> None:
        problem, sizes = self._layout_problem, self._sizes
        until = [[self.held(0, j)] for j in range(len(sizes))]
        for j in range(len(sizes)):
            for k in range(1, problem.chunks):
                until[j].append(until[j][-1] + self.held(k, j))
            self._rows += until[j][-1] == sizes[j]
        for (k, j), done in self._done.items():
            self._rows += until[j][k] >= sizes[j] * done
            self._rows += until[j + 1][k] <= sizes[j + 1] * done
        for k in range(problem.chunks):
            self._rows += self._all_on(k) >= 1
        inner = problem.ends[1:-1]
        if problem.chunks > 1 and len(inner):
            self._rows += self._all_on(0) >= int(inner[0])
            self._rows += self._all_on(problem.chunks - 1) >= len(problem.chain) - int(inner[-1])

    def _all_on(self, k: int) -> Any:
        return self._sum(self.held(k, j) for j in range(len(self._sizes)))

    def _add_leads(self, k: int, r: int) -> None:
        """`led` of a chunk and a pattern, by run; the runs that a pattern replays whole, or not at
        all, need no variables."""
        problem = self._layout_problem
        pattern = problem.patterns[r]
        replayed: list[Any] = []
        most = 0
        for j, (kind, size) in enumerate(self.runs):
            if not problem.replayable[kind]:
                continue
            replayed.append(self._n[k, j, r])
            most += size
            if pattern.level == 0 or pattern.layers == 0:
                self._led[k, j, r] = 0
            elif pattern.layers >= most:
                self._led[k, j, r] = self._sum(replayed)
            else:
                self._add_lead(k, j, r, self._sum(replayed), most)

    def _add_lead(self, k: int, j: int, r: int, replayable: Any, most: int) -> None:
        """led = min(layers of the pattern, replayable items of the chunk so far)."""
        layers = self._layout_problem.patterns[r].layers
        led = self._rows.add_variable(f"led_{k}_{j}_{r}", 0, layers)
        full = self._rows.add_variable(f"full_{k}_{j}_{r}", 0, 1, "Integer")
        self._rows += led <= replayable
        self._rows += led >= layers * full
        self._rows += led >= replayable - most * full
        self._led[k, j, r], self._full[k, j, r] = led, full


def runs_of(problem: LayoutProblem) -> list[tuple[int, int]]:
    """Kind and length of every run of equal items."""
    chain = np.array(problem.chain)
    starts = np.concatenate(([0], np.flatnonzero(np.diff(chain)) + 1, [len(chain)]))
    return [(int(chain[first]), int(stop - first)) for first, stop in pairwise(starts)]
