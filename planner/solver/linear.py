"""Linear programs stated as arrays: for the small ones of which a run solves many, where writing
them with PuLP takes longer than solving them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.solver.program import TOLERANCE, SolverProgram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pulp import LpProblem

    from planner.arrays import Bools, Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearProgram:
    """Minimise cost · x, or maximise it, subject to `row_lower` ≤ `rows` x ≤ `row_upper`. No entry
    of x is below 0 unless it is `free`. `rows` [R, C] is dense; `names` [C]."""

    names: Sequence[str]
    cost: Floats
    free: Bools
    rows: Floats
    row_lower: Floats
    row_upper: Floats
    maximise: bool = False

    def compiled(self) -> SolverProgram:
        """The same program as one written with PuLP, column by column."""
        order = sorted(range(len(self.names)), key=self.names.__getitem__)
        sense = -1 if self.maximise else 1
        rows = self.rows[:, order]
        row, column = np.nonzero(rows)
        return SolverProgram(
            stated=self._with_pulp,
            sense=sense,
            names=tuple(self.names[place] for place in order),
            cost=sense * self.cost[order],
            constant=0.0,
            lower=np.where(self.free, -np.inf, 0.0)[order],
            upper=np.full(len(order), np.inf),
            whole=np.zeros(len(order), dtype=np.bool_),
            starts=np.append(0, np.cumsum(np.bincount(row, minlength=len(rows)))),
            columns=column,
            coefficients=rows[row, column],
            row_lower=self.row_lower,
            row_upper=self.row_upper,
        )

    def with_rows(self, rows: Floats, lower: Floats) -> LinearProgram:
        """With `rows` [R, C] x ≥ `lower` [R] in addition."""
        return replace(
            self,
            rows=np.concatenate((self.rows, rows)),
            row_lower=np.append(self.row_lower, lower),
            row_upper=np.append(self.row_upper, np.full(len(lower), np.inf)),
        )

    def holds(self, entries: Floats) -> bool:
        """Whether entries [C] keep to every row and are not negative unless they may be."""
        sums, sizes = self.rows @ entries, np.abs(self.rows) @ np.abs(entries)
        missed = np.maximum(self.row_lower - sums, sums - self.row_upper)
        kept = (missed <= TOLERANCE * np.maximum(1.0, sizes)).all()
        return bool(kept and (self.free | (entries >= -TOLERANCE)).all())

    def dual(self) -> LinearProgram:
        """Of a program that minimises: the prices of rows that are worth most, of every row with a
        lower limit, and then of every one with an upper limit."""
        low, high = (np.flatnonzero(np.isfinite(end)) for end in (self.row_lower, self.row_upper))
        priced = np.concatenate((self.rows[low], -self.rows[high]))
        return LinearProgram(
            maximise=True,
            names=tuple(f"price_{place}" for place in range(len(priced))),
            cost=np.append(self.row_lower[low], -self.row_upper[high]),
            free=np.zeros(len(priced), dtype=np.bool_),
            rows=priced.T,
            row_lower=np.where(self.free, self.cost, -np.inf),
            row_upper=self.cost,
        )

    def _with_pulp(self) -> LpProblem:
        """For engines that do not take arrays."""
        from pulp import LpAffineExpression, LpMaximize, LpMinimize, LpProblem

        problem = LpProblem("linear", LpMaximize if self.maximise else LpMinimize)
        entries = [
            problem.add_variable(name, None if free else 0)
            for name, free in zip(self.names, self.free.tolist(), strict=True)
        ]
        problem += LpAffineExpression(list(zip(entries, self.cost.tolist(), strict=True)))
        bounds = zip(self.row_lower.tolist(), self.row_upper.tolist(), strict=True)
        for row, (lower, upper) in zip(self.rows.tolist(), bounds, strict=True):
            terms = LpAffineExpression(list(zip(entries, row, strict=True)))
            if lower == upper:
                problem += terms == lower
                continue
            if lower > -np.inf:
                problem += terms >= lower
            if upper < np.inf:
                problem += terms <= upper
        return problem
