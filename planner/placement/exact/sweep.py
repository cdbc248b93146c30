"""Branch and bound over positions: visits all placements that could be better, position by
position.

Partial placements are kept in arrays and grow together. A partial placement is dropped when its
bound reaches the best objective known, when an exchange of alike nodes or columns turns it into one
that is kept, or when another with the same used nodes and the same nodes next to empty positions is
no worse in every term that can still matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.placement.exact.dominance import Dominance
from planner.placement.exact.filling import Filling
from planner.placement.exact.partial import Floors, Partial, joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Meter
    from planner.placement.problem.terms import Terms

TOLERANCE = 1e-9
"""Relative improvements smaller than this are not sought."""
CHUNK = 1 << 19
"""Critical paths of partial placements that grow together."""
KEPT = 65_536
"""Partial placements held before they are followed to the end."""


@dataclass(frozen=True, slots=True, eq=False)
class Swept:
    """What a sweep found: `order` int [positions] and its objective, None if nothing better was
    found. No placement that was skipped takes less than `left_s`; infinite where none was
    skipped."""

    order: NDArray[np.int64] | None
    objective_s: float
    left_s: float


class Sweep:
    def __init__(self, terms: Terms, floors: Floors, objective_s: float, states: Meter) -> None:
        """Looks for placements below `objective_s`; fills at most `states` partial placements."""
        self.terms = terms
        self.filling = Filling(terms, floors)
        self.dominance = Dominance(self.filling)
        self.objective_s = objective_s
        self.order: NDArray[np.int64] | None = None
        self.states = states

    @property
    def limit_s(self) -> float:
        return self.objective_s * (1 - TOLERANCE)

    def run(self) -> Swept:
        left_s = self._follow(self.filling.empty(), 0)
        return Swept(self.order, self.objective_s, left_s)

    def _follow(self, partial: Partial, step: int) -> float:
        """Follow all partial placements to the end; returns the least bound of those it had to
        leave."""
        if step == len(self.filling.cells):
            self._keep_best(partial)
            return float("inf")
        partial = partial.at(np.argsort(partial.bound_s, kind="stable"))
        left_s = float("inf")
        held: list[Partial] = []
        width = max(64, CHUNK // max(64, len(self.terms.problem.path_s)))
        for first in range(0, len(partial), width):
            chunk = partial.at(slice(first, first + width))
            chunk = chunk.at(chunk.bound_s < self.limit_s)
            if not len(chunk):
                break
            if self.states.ended:
                rest = partial.at(slice(first, None)).bound_s
                left_s = min(left_s, float(rest.min()))
                break
            self.states.spend(len(chunk))
            held.append(self.filling.filled(chunk, step, self.limit_s))
            if sum(map(len, held)) >= KEPT:
                left_s = min(left_s, self._follow(self._merged(held, step), step + 1))
                held = []
        if sum(map(len, held)):
            left_s = min(left_s, self._follow(self._merged(held, step), step + 1))
        return left_s

    def _merged(self, held: list[Partial], step: int) -> Partial:
        return self.dominance.undominated(joined(held), step)

    def _keep_best(self, partial: Partial) -> None:
        best = partial.cells[int(partial.bound_s.argmin())].astype(np.int64)
        objective_s = self.terms.problem.objective_s(best)
        if objective_s < self.objective_s:
            self.order, self.objective_s = best, objective_s
