"""The layouts of one combination after the other, each found by an exact program, while any may
change the best plans."""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import OutOfTime
from planner.solver import Solver
from planner.training.search.mixed.combination import solve_alike, tables_alike
from planner.training.search.mixed.known_paths import KnownPaths
from planner.training.search.mixed.typed import TypedCombination

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from planner.budget import Budget
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.layout_walk import KnownPlans, LayoutWalk
    from planner.training.search.mixed.program import CombinationTables

SOLVED = 256
"""Most combinations in one search that `USUAL` programs solve; those that take more count more."""

USUAL = 4
"""Programs of a combination."""


SEVERAL, CHUNKS = 64, 32
"""The same of combinations with several chunks on every stage: of so many chunks in all; a program
of more counts as the square of how many times as many they are."""

RISEN = 1 + 1e-4
"""Multiple of its bound by which a program has to raise it to count as one that did."""

STUCK = 2
"""Programs in a row that did not raise the bound of a combination until it is left alone: the paths
that one finds help the next."""


@dataclass(frozen=True, slots=True, order=True)
class Unsolved:
    """A combination, a lower bound in seconds over its layouts, and the
    recomputed layers per chunk of its default layout. `again`: some layouts were priced, and the
    bound is of all others. `stuck`: programs in a row that did not raise the bound."""

    bound_s: float
    index: int
    recomputed: int
    again: bool = False
    stuck: int = 0


class LayoutPrograms:
    """Programs of combinations on equal devices."""

    def __init__(
        self,
        scenario: Scenario,
        ideal: Scenario,
        table: CostTable,
        walk: LayoutWalk,
        best: KnownPlans,
        budget: Budget,
    ) -> None:
        """`table` is of the `ideal` scenario."""
        self._ideal = ideal
        self._scenario, self._walk, self._best, self._budget = scenario, walk, best, budget
        self._table = table
        self.solver = Solver()
        self._paths = KnownPaths(self.solver)
        self._programs = 0
        self._known: dict[int, tuple[TypedCombination, CombinationTables]] = {}

    def solve(
        self, combinations: Iterable[Unsolved], report: Callable[[], None]
    ) -> dict[int, float]:
        """Solve combinations, the smallest bound first, until no layout that is left may change the
        best plans. A combination that has some is solved twice: the second time, all that is faster
        than its best plan is priced. `report` is called before each.

        Returns, of combinations with layouts that were not priced and may change the best plans, a
        lower bound in seconds on those, by index. An end of time is no error.
        """
        queue = list(combinations)
        heapify(queue)
        left, rest = self._budget.meter(SOLVED), dict[int, float]()
        while queue and not left.ended:
            one = heappop(queue)
            if one.bound_s >= self._best.wanted_s(one.index):
                continue
            report()
            before = self._programs
            try:
                rest_s = self._price(one)
            except OutOfTime:
                rest[one.index] = one.bound_s
                break
            left.spend(max((self._programs - before) / USUAL, 1.0))
            if one.again:
                rest[one.index] = rest_s
            else:
                heappush(queue, Unsolved(rest_s, one.index, one.recomputed, again=True))
        return rest | {one.index: one.bound_s for one in queue}

    def solve_several(
        self, combinations: Iterable[Unsolved], until_s: float, report: Callable[[], None]
    ) -> dict[int, float]:
        """The same of combinations with several chunks on every stage, whose bounds rise little by
        little; those of `until_s` or more are left alone."""
        queue = list(combinations)
        heapify(queue)
        left, rest = self._budget.meter(SEVERAL), dict[int, float]()
        while queue and not left.ended:
            one = heappop(queue)
            if one.bound_s >= self._best.wanted_s(one.index):
                continue
            if one.bound_s >= until_s:
                rest[one.index] = one.bound_s
                continue
            report()
            try:
                bound_s = self._price(one)
            except OutOfTime:
                rest[one.index] = one.bound_s
                break
            plan = self._walk.plan(one.index, one.recomputed)
            left.spend(max(1, plan.degrees.pipeline * plan.virtual_stages // CHUNKS) ** 2)
            stuck = 0 if bound_s > one.bound_s * RISEN else one.stuck + 1
            if stuck < STUCK:
                heappush(queue, Unsolved(bound_s, one.index, one.recomputed, stuck=stuck))
            else:
                rest[one.index] = bound_s
        return rest | {one.index: one.bound_s for one in queue}

    def _price(self, one: Unsolved) -> float:
        """Price what a program finds; a lower bound in seconds on all other layouts. Raises:
        OutOfTime."""
        below_s = self._best.wanted_s(one.index)
        known = self._known.pop(one.index) if one.again else None
        of, tables = known or self._stated(one, below_s)
        before = tables.stated
        found = solve_alike(
            self._scenario,
            of,
            one.bound_s,
            below_s,
            tables,
            known=self._paths,
            every=one.again,
            budget=self._budget,
        )
        self._programs += tables.stated - before
        if not one.again:
            self._known[one.index] = of, tables
        for candidate in found.candidates:
            if candidate.least_s < self._best.wanted_s(one.index):
                self._walk.replace(one.index, candidate.plan)
        return found.rest_s

    def _stated(self, one: Unsolved, below_s: float) -> tuple[TypedCombination, CombinationTables]:
        plan = self._walk.plan(one.index, one.recomputed)
        batch = self._walk.batch(one.index, plan)
        table = self._table.some(batch.row)
        batch = replace(batch, row=np.zeros(1, dtype=np.int64))
        of = TypedCombination.of(self._ideal, plan, table, batch, (table,), free=True)
        return of, tables_alike(of, below_s)
