"""The answers of programs of combinations with one chunk on every stage: all that are near the best
are listed and simulated."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.mixed.listing import every_order
from planner.training.search.mixed.orders import best_order
from planner.training.search.mixed.simulated import simulated_s

if TYPE_CHECKING:
    from planner.budget import Budget
    from planner.training.search.mixed.found import FoundAnswers
    from planner.training.search.mixed.program import CombinationTables, OrderTables
    from planner.training.search.mixed.typed import TypedCombination

LISTED = 512
"""Most answers of one program that are all simulated."""

NARROWED = (1.0, 0.25, 0.0625)
"""Shares of the distance between the least row and the step that is to be beaten, within which all
answers are listed: the next where they are too many."""


class OneChunkSearch:
    """No answer takes less than `bound_s`, none but the best ones noted less than `rest_s`; neither
    is above `below_s`. `every`: also answers that are slower than others are wanted."""

    def __init__(
        self,
        of: TypedCombination,
        found: FoundAnswers,
        least_s: float,
        below_s: float,
        budget: Budget,
        *,
        every: bool,
    ) -> None:
        self._of, self._found, self._every = of, found, every
        self._least_s, self._below_s, self._budget = least_s, below_s, budget
        self.bound_s = self.rest_s = below_s

    @property
    def _wanted_s(self) -> float:
        """What an answer has to take less than to be of use."""
        return self._below_s if self._every else min(self._below_s, self._found.fastest_s)

    def solve(self, tables: CombinationTables) -> None:
        """Note the answers of all programs. Raises: OutOfTime."""
        for recomputed in tables.worth(lambda: self._wanted_s, self._pass_over):
            self._budget.check()
            self._solve(tables.program(recomputed))

    def _pass_over(self) -> None:
        self.bound_s = min(self.bound_s, self._wanted_s)
        self.rest_s = min(self.rest_s, self._wanted_s)

    def _solve(self, program: OrderTables) -> None:
        below_s = self._wanted_s
        best = best_order(
            program.problem, least_s=self._least_s, below_s=below_s, budget=self._budget
        )
        if best is None:
            self._pass_over()
            return
        best_s = self._found.note_fitting(program, best.order)
        until_s = max(best.rows_s, below_s if self._every else min(below_s, best_s))
        bound_s = rest_s = best.rows_s
        for share in NARROWED:
            within_s = best.rows_s + share * (until_s - best.rows_s)
            orders = every_order(
                program.problem,
                within_s * (1 + 1e-9),
                most=LISTED,
                budget=self._budget,
            )
            if orders is None:
                continue
            seconds = simulated_s(self._of, program, orders) if len(orders) else np.zeros(0)
            self._found.note(program, orders, seconds)
            bound_s = min(within_s, float(seconds.min(initial=inf)))
            left = np.sort(seconds)[self._found.tried : self._found.tried + 1]
            rest_s = min(within_s, float(left.min(initial=inf)))
            break
        self.bound_s = min(self.bound_s, bound_s)
        self.rest_s = min(self.rest_s, rest_s)
