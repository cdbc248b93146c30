"""The answers of programs of combinations with several chunks on a stage, over which layers may be
split in many ways."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.training.search.mixed.found import BELOW, FoundAnswer
from planner.training.search.mixed.listing import every_order
from planner.training.search.mixed.one_chunk import LISTED, NARROWED
from planner.training.search.mixed.order_problem import Orders, largest_row_s
from planner.training.search.mixed.orders import best_order
from planner.training.search.mixed.settle import SplitSearch
from planner.training.search.mixed.splits import StageWays
from planner.training.search.mixed.whole_averages import averages_bound_s

if TYPE_CHECKING:
    from planner.budget import Budget
    from planner.training.search.mixed.classes import RowClasses
    from planner.training.search.mixed.found import FoundAnswers
    from planner.training.search.mixed.known_paths import KnownPaths
    from planner.training.search.mixed.program import CombinationTables, OrderTables
    from planner.training.search.mixed.typed import TypedCombination

MANY_LISTED = 4096
"""The same where too many share several chunks to bound them all."""

LISTED_RISE = 0.02
"""Share by which their rows may be longer than the least where several chunks share a stage."""

SPLIT = 4096
"""Most answers of one program whose splits over several chunks are all bounded."""

RISE = 0.03
"""Share of a combination's bound by which splits over several chunks are to raise it at once."""

LEAST_RISE = 1e-3
"""The same that one more look at them has to raise it by to be worth another."""


class _Begun(NamedTuple):
    """A program of which no answer takes less than `least_s`."""

    program: OrderTables
    ways: StageWays
    least_s: float


class SeveralChunksSearch:
    """No answer takes less than `bound_s`, which is not above `below_s`. `crowded`: whether there
    were too many answers to look at each. Without `splits` layers are spread evenly alone; with
    them splits below `wanted_s` are noted, as far as they are found."""

    def __init__(
        self,
        of: TypedCombination,
        classes: RowClasses,
        found: FoundAnswers,
        least_s: float,
        below_s: float,
        known: KnownPaths,
        budget: Budget,
        *,
        splits: bool,
        wanted_s: float,
    ) -> None:
        self._wanted_s = wanted_s
        self._of, self._classes, self._found = of, classes, found
        self._least_s, self._below_s, self._known = least_s, below_s, known
        self._budget, self._splits = budget, splits
        self.bound_s = below_s
        self.crowded = False

    def solve(self, tables: CombinationTables) -> None:
        """Note the answers of all programs whose rows are little longer than the least row of any.
        Raises: OutOfTime."""
        begun: list[_Begun] = []
        for recomputed in tables.worth(lambda: min(self._below_s, self._found.fastest_s)):
            self._budget.check()
            program = tables.program(recomputed)
            best = best_order(
                program.problem,
                least_s=self._least_s,
                below_s=self._below_s,
                budget=self._budget,
            )
            if best is None:
                continue
            ways = StageWays(
                self._of, self._classes, program.chunk_seconds, program.replayed_at_most
            )
            averages = self._known.latest(self._of)
            least_s = averages_bound_s(self._of, program, ways, averages, self._below_s)
            if least_s >= self._below_s:
                continue
            self._found.note_fitting(program, best.order)
            begun.append(_Begun(program, ways, max(best.rows_s, least_s)))
        if not begun:
            return
        least_s = max(self._least_s, min(one.least_s for one in begun))
        for one in begun:
            rows_s = max(one.least_s, self._least_s)
            found_s = self._found.fastest_s
            until_s = min(self._below_s, least_s * (1 + RISE), found_s)
            bound_s = rows_s
            if not self._splits:
                self._list_some(one.program, rows_s, LISTED)
            elif rows_s < until_s:
                bound_s = max(rows_s, self._split_within(one, rows_s, until_s))
            self.bound_s = min(self.bound_s, bound_s)

    def _list_some(self, program: OrderTables, rows_s: float, most: int) -> None:
        """Remember the best of at most so many answers whose rows are little longer than the
        least."""
        for share in NARROWED:
            orders = every_order(
                program.problem,
                rows_s * (1 + share * LISTED_RISE),
                most=most,
                budget=self._budget,
            )
            if orders is not None:
                if len(orders):
                    self._found.note_fitting(program, orders)
                return

    def _split_within(self, one: _Begun, rows_s: float, until_s: float) -> float:
        """A bound in seconds on the step of answers whose rows are at most `until_s`: the least row
        where there are too many to look at."""
        bound_s = rows_s
        for share in NARROWED:
            within_s = rows_s + share * (until_s - rows_s)
            orders = every_order(
                one.program.problem, within_s * (1 + 1e-9), most=SPLIT, budget=self._budget
            )
            if orders is not None:
                bound_s = self._split(one, orders, within_s)
                break
        else:
            self._list_some(one.program, rows_s, MANY_LISTED)
        wanted_s = max(within_s, min(until_s, rows_s * (1 + LEAST_RISE)))
        self.crowded |= bound_s < wanted_s * BELOW
        return bound_s

    def _split(self, one: _Begun, orders: Orders, within_s: float) -> float:
        """A bound in seconds on the step of these answers, at most `within_s`, over all splits of
        their layers over chunks. Raises: OutOfTime."""
        program = one.program
        least = np.argsort(largest_row_s(program.problem, orders), kind="stable")[:LISTED]
        first = Orders(classes=orders.classes[least], layers=orders.layers[least])
        if len(first):
            self._found.note_fitting(program, first)
        if not len(orders):
            return within_s
        search = SplitSearch(
            self._of,
            program,
            orders,
            one.ways,
            self._known.of(self._of),
            self._known.solver,
            self._budget,
            averages=self._known.averages(self._of),
        )
        good = search.good(min(self._wanted_s, self._found.fastest_s))
        found_s = min((split.seconds for split in good), default=inf)
        settled = search.settle(min(within_s, found_s))
        self._known.note(self._of, search.paths, search.averages)
        for split in (*good, *settled.splits):
            chosen = slice(split.answer, split.answer + 1)
            order = Orders(classes=orders.classes[chosen], layers=orders.layers[chosen])
            changes = int(self._classes.changes(order.classes)[0])
            self._found.add(FoundAnswer(split.seconds, changes, order, program, split.chunks))
        return settled.bound_s
