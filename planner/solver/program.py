"""A program as arrays, for engines that take it whole and for checking their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pulp import LpProblem

    from planner.arrays import Bools, Floats, Ints

TOLERANCE = 1e-6
"""How far a row may be missed, absolutely or as a share of its terms: the tolerance of both
engines. Programs must be scaled so that this is negligible."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SolverProgram:
    """minimise cost · x + constant subject to row_lower ≤ A x ≤ row_upper, lower ≤ x ≤ upper, some
    entries of x integer (`whole`). `sense` is −1 where the program as it was stated maximises. A is
    stored by rows: the entries of row i are `columns[starts[i]:starts[i + 1]]`, with
    `coefficients`. `stated` gives the program in PuLP."""

    stated: Callable[[], LpProblem]
    sense: int
    names: tuple[str, ...]
    cost: Floats
    constant: float
    lower: Floats
    upper: Floats
    whole: Bools
    starts: Ints
    columns: Ints
    coefficients: Floats
    row_lower: Floats
    row_upper: Floats

    @classmethod
    def of(cls, problem: LpProblem) -> SolverProgram:
        """Raises: ValueError when two variables share a name."""
        variables = problem.variables()
        at = {id(variable): index for index, variable in enumerate(variables)}
        names = tuple(variable.name for variable in variables)
        if len(set(names)) < len(names):
            raise ValueError("two variables of the program share a name")
        sense = int(problem.sense)
        cost = np.zeros(len(names))
        for variable, coefficient in (problem.objective or {}).items():
            cost[at[id(variable)]] = sense * coefficient
        rows = list(problem._constraints.values())
        entries = [(at[id(x)], a) for row in rows for x, a in row.items()]
        return cls(
            stated=lambda: problem,
            sense=sense,
            names=names,
            cost=cost,
            constant=sense * float(problem.objective.constant if problem.objective else 0.0),
            lower=_bounds([variable.lowBound for variable in variables], -np.inf),
            upper=_bounds([variable.upBound for variable in variables], np.inf),
            whole=np.array([variable.cat == "Integer" for variable in variables], dtype=np.bool_),
            starts=np.cumsum([0, *map(len, rows)], dtype=np.int64),
            columns=np.array([index for index, _ in entries], dtype=np.int64),
            coefficients=np.array([a for _, a in entries], dtype=np.float64),
            row_lower=_bounds([row.getLb() for row in rows], -np.inf),
            row_upper=_bounds([row.getUb() for row in rows], np.inf),
        )

    def objective_of(self, values: Floats) -> float:
        return float(self.cost @ values) + self.constant

    def rounded(self, values: Floats) -> Floats:
        """The values with integer variables rounded, and all of them moved inside their bounds."""
        rounded = np.where(self.whole, np.round(values), values)
        return np.asarray(np.clip(rounded, self.lower, self.upper))

    def assignment(self, values: Mapping[str, float]) -> Floats:
        """Values by name as a vector; variables without a value are 0."""
        return np.array([values.get(name, 0.0) for name in self.names], dtype=np.float64)

    def violation(self, values: Floats) -> str | None:
        """Why the values are not an assignment of this program; None where they are one."""
        if values.shape != self.cost.shape or not np.isfinite(values).all():
            return "the assignment has missing or infinite values"
        moved = np.abs(self.rounded(values) - values) > TOLERANCE * (1 + np.abs(values))
        if moved.any():
            return f"variable {self.names[int(moved.argmax())]} is outside its bounds or not whole"
        values = self.rounded(values)
        terms = self.coefficients * values[self.columns]
        sums, sizes = self._by_row(terms), self._by_row(np.abs(terms))
        allowed = TOLERANCE * np.maximum(1.0, sizes)
        missed = np.maximum(self.row_lower - sums, sums - self.row_upper) > allowed
        if missed.any():
            row = list(self.stated()._constraints)[int(missed.argmax())]
            return f"row {row} does not hold"
        return None

    def _by_row(self, terms: Floats) -> Floats:
        rows = np.repeat(np.arange(len(self.row_lower)), np.diff(self.starts))
        return np.asarray(np.bincount(rows, weights=terms, minlength=len(self.row_lower)))


def _bounds(values: list[float | None], missing: float) -> Floats:
    return np.array([missing if value is None else value for value in values], dtype=np.float64)
