"""The program of one combination: the spread of its layers over chunks that keeps the longest path
short, and the average of paths that no spread can keep short.

Letters: J paths, V chunks in the order in which a microbatch visits them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.solver.mixture import best_division, best_shared_average

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.solver import Solver
    from planner.solver.mixture import Parts

FIRST, MORE = 128, 64
"""Paths in the first program for a case, those that are longest at the best spread known; and most
that join it because they are longer than it says."""

LONGER = 1e-6
"""Share of a step by which they are."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpreadRows:
    """Paths of one case: what they take with the fewest layers, [J], and for every layer more in a
    chunk, [J, V]."""

    fixed_s: Floats
    layer_s: Floats

    def some(self, which: Ints) -> SpreadRows:
        return SpreadRows(fixed_s=self.fixed_s[which], layer_s=self.layer_s[which])

    def seconds(self, spread: Floats) -> Floats:
        """[J]: with so many layers [V] beyond the fewest of every chunk."""
        return self.fixed_s + self.layer_s @ spread


class Spread(NamedTuple):
    """Layers of every chunk beyond its fewest, [V], and what a simulation of them takes."""

    layers: Floats
    seconds: float


class SpreadProgram:
    """The least that the longest of `rows` takes over all spreads of one case. `used`: rows that it
    is stated with; those that join it belong to the least step of a spread."""

    def __init__(self, rows: SpreadRows, parts: Parts, best: Spread | None, solver: Solver) -> None:
        self.rows, self._parts, self._solver = rows, parts, solver
        if best is None:
            self.used = _undominated(np.column_stack((rows.fixed_s, rows.layer_s)))
        else:
            self.used = np.argsort(-rows.seconds(best.layers), kind="stable")[:FIRST]

    def division(self) -> Spread | None:
        """The spread with the least longest row, and what that takes; None without an answer."""
        while True:
            used = self.rows.some(self.used)
            layers = best_division(used.layer_s, used.fixed_s, self._parts, self._solver)
            if layers is None:
                return None
            seconds = self.rows.seconds(layers)
            least_s = float(seconds[self.used].max())
            longer = np.flatnonzero(seconds > least_s * (1 + LONGER))
            longer = np.setdiff1d(longer, self.used)
            if not len(longer):
                return Spread(layers, least_s)
            order = np.argsort(-seconds[longer], kind="stable")[:MORE]
            self.used = np.concatenate((self.used, longer[order]))

    def average(self) -> Floats | None:
        """The shares of the rows used in the average that is longest; None without an answer."""
        used = self.rows.some(self.used)
        return best_shared_average(used.layer_s, used.fixed_s, self._parts, self._solver)


def _undominated(rows: Floats) -> Ints:
    """The rows that no other row equals or exceeds in every column; the first of equal ones."""
    kept: list[int] = []
    largest = np.empty_like(rows)
    order = np.argsort(-rows.sum(axis=1), kind="stable")
    for j in order.tolist():
        if not (largest[: len(kept)] >= rows[j]).all(axis=1).any():
            largest[len(kept)] = rows[j]
            kept.append(j)
    return np.array(sorted(kept))
