"""Things divided among places so that the longest of several rows is short, and the average of
rows that no division keeps short: a linear program that grows by rows, and its dual.

Letters: J rows, I places, P parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.solver.linear import LinearProgram

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.solver.solver import Solver


class Parts(NamedTuple):
    """A `number` of equal things to be divided among places. Place i belongs to part i modulo the
    number of parts; a part takes at least `floors` [P] of them and has room for `rooms` [P]. With
    `owed` [2, P] there are things of a second kind, of which a part owes, at any of its places, the
    first number and the second for each that it takes of the first kind."""

    number: float
    floors: Floats
    rooms: Floats
    owed: Floats | None = None


class Divided(NamedTuple):
    """How many things each place gets, [I] or [2 · I], where that keeps the longest row shortest,
    and the shares [J] of the rows, none negative and their sum 1, in the average that is longest
    when things are divided as is best for it."""

    things: Floats
    shares: Floats


class Division:
    """The program of `parts` with so many `places`. Rows take up to about `unit_s`."""

    def __init__(self, parts: Parts, places: int, unit_s: float, solver: Solver) -> None:
        self._unit_s, self._solver = unit_s, solver
        part_of = np.arange(places) % len(parts.rooms) == np.arange(len(parts.rooms))[:, None]
        given = np.concatenate((np.ones((1, places)), part_of))
        lower = np.append(parts.number, parts.floors)
        upper = np.append(parts.number, np.minimum(parts.rooms, parts.number))
        if parts.owed is not None:
            owing = np.column_stack((-parts.owed[1][:, None] * part_of, part_of))
            given = np.concatenate((np.column_stack((given, np.zeros(given.shape))), owing))
            lower = np.append(lower, parts.owed[0])
            upper = np.append(upper, np.full(len(owing), np.inf))
        columns = given.shape[1]
        self._program = LinearProgram(
            names=("span", *(f"place_{place}" for place in range(columns))),
            cost=np.append(1.0, np.zeros(columns)),
            free=np.zeros(1 + columns, dtype=np.bool_),
            rows=np.column_stack((np.zeros(len(given)), given)),
            row_lower=lower,
            row_upper=upper,
        )
        self._before = len(given)
        self._kept = solver.kept(self._program)

    def add(self, fixed_s: Floats, each_s: Floats) -> None:
        """Add rows: `fixed_s` [J] and what one thing adds at a place, `each_s` [J, I] or
        [J, 2 · I], all ≥ 0."""
        rows = np.column_stack((np.ones(len(each_s)), -each_s / self._unit_s))
        lower = fixed_s / self._unit_s
        self._program = self._program.with_rows(rows, lower)
        if self._kept is not None:
            self._kept.program.add(rows, lower, np.full(len(lower), np.inf))

    def solved(self) -> Divided | None:
        """None where no engine has an answer, and where there is no room for all things."""
        if self._kept is not None:
            found = self._solver.solve_kept(self._kept, self._program)
            if found is not None:
                return self._divided(found.entries, found.prices[self._before :])
            self._kept = None
        entries = self._answer(self._program)
        prices = self._answer(self._program.dual())
        if entries is None or prices is None:
            return None
        # All rows have a lower limit; prices of these come first.
        return self._divided(entries, prices[self._before : len(self._program.rows)])

    def _answer(self, program: LinearProgram) -> Floats | None:
        answer = self._solver.solve_linear(program)
        found = [answer.values[name] for name in program.names] if answer.values else None
        return None if found is None else np.array(found)

    def _divided(self, entries: Floats, prices: Floats) -> Divided | None:
        shares = np.maximum(prices, 0.0)
        total = float(shares.sum())
        return Divided(np.maximum(entries[1:], 0.0), shares / total) if total > 0 else None
