"""Entries that keep the longest of several rows short, and the average of rows that none keep
short: a linear program that grows by rows, and its dual.

Letters: J rows, E entries, G rows that are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.solver.linear import LinearProgram

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.solver.solver import Solver


class Shortened(NamedTuple):
    """The entries [E] that keep the longest row shortest, and the shares [J] of the rows, none
    negative and their sum 1, in the average that is longest when entries are best for it."""

    entries: Floats
    shares: Floats


class LongestRow:
    """The program of entries, none negative, that keep `lower` ≤ `given` [G, E] x ≤ `upper`. Rows
    take up to about `unit_s`."""

    def __init__(
        self, given: Floats, lower: Floats, upper: Floats, unit_s: float, solver: Solver
    ) -> None:
        self._unit_s, self._solver = unit_s, solver
        entries = given.shape[1]
        self._program = LinearProgram(
            names=("span", *(f"entry_{entry}" for entry in range(entries))),
            cost=np.append(1.0, np.zeros(entries)),
            free=np.zeros(1 + entries, dtype=np.bool_),
            rows=np.column_stack((np.zeros(len(given)), given)),
            row_lower=lower,
            row_upper=upper,
        )
        self._before = len(given)
        self._kept = solver.kept(self._program)

    def add(self, fixed_s: Floats, each_s: Floats) -> None:
        """Add rows: `fixed_s` [J] and what one of an entry adds, `each_s` [J, E], all ≥ 0."""
        rows = np.column_stack((np.ones(len(each_s)), -each_s / self._unit_s))
        lower = fixed_s / self._unit_s
        self._program = self._program.with_rows(rows, lower)
        if self._kept is not None:
            self._kept.program.add(rows, lower, np.full(len(lower), np.inf))

    def solved(self) -> Shortened | None:
        """None where no engine has an answer, and where no entries keep to what is given."""
        if self._kept is not None:
            found = self._solver.solve_kept(self._kept, self._program)
            if found is not None:
                return _shortened(found.entries, found.prices[self._before :])
            self._kept = None
        entries = self._answer(self._program)
        prices = self._answer(self._program.dual())
        if entries is None or prices is None:
            return None
        # All rows have a lower limit; prices of these come first.
        return _shortened(entries, prices[self._before : len(self._program.rows)])

    def _answer(self, program: LinearProgram) -> Floats | None:
        answer = self._solver.solve_linear(program)
        found = [answer.values[name] for name in program.names] if answer.values else None
        return None if found is None else np.array(found)


def _shortened(entries: Floats, prices: Floats) -> Shortened | None:
    shares = np.maximum(prices, 0.0)
    total = float(shares.sum())
    return Shortened(np.maximum(entries[1:], 0.0), shares / total) if total > 0 else None
