"""Combinations by their bounds: quick ones are tightened a window at a time, and the smallest
tight one comes next."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import distinct
from planner.training.search.bounding.tight import tight_bound_s, tight_mixed_s
from planner.training.search.mixed.speeds import is_mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.training.costs import CostTable
    from planner.training.search.best_first.combinations import Combinations
    from planner.training.search.bounding.fitting import Fitting

FIRST_WINDOW = 512
"""Combinations whose bound is tightened at once; the next window is twice as large."""


@dataclass(frozen=True, slots=True, order=True)
class Open:
    """A combination with a tight bound, for the fewest recomputed layers that fit; `simulated`: the
    bound holds a simulated pipeline; `programmed`: and what its placement program says;
    `searched`: and what a search among few nodes does."""

    bound_s: float
    index: int
    recomputed_layers: int
    simulated: bool = False
    programmed: bool = False
    searched: bool = False


class BoundQueue:
    """What is not refined yet. Bounds and `table` are of the ideal scenario."""

    def __init__(self, combinations: Combinations, table: CostTable, budget: Budget) -> None:
        self._combinations, self._table, self._budget = combinations, table, budget
        self._order = np.argsort(combinations.quick_s, kind="stable")
        self._opened = 0
        self._window = FIRST_WINDOW
        self._tight: list[Open] = []
        self.layers: dict[int, int] = {}
        """Recomputed layers per chunk that tight bounds assume, by index."""

    @property
    def least_s(self) -> float:
        """No combination in it takes less; infinite when it is empty."""
        return min(self._tight[0].bound_s if self._tight else inf, self._next_quick_s)

    def pop(self) -> Open | None:
        """The combination with the smallest bound; None after tightening some that came before
        it. Raises: OutOfTime."""
        if self._tight and self._tight[0].bound_s <= self._next_quick_s:
            return heappop(self._tight)
        self._tighten()
        return None

    def push(self, combination: Open) -> None:
        """Put one back, with another bound."""
        heappush(self._tight, combination)

    @property
    def _next_quick_s(self) -> float:
        if self._opened == len(self._order):
            return inf
        return float(self._combinations.quick_s[self._order[self._opened]])

    def _bounds(
        self, group: Fitting, which: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        ideal = self._combinations.scenario.ideal
        if is_mixed(ideal):
            bounds = tight_mixed_s(ideal, self._table, group, which, self._budget)
            return bounds, np.full(len(which), group.layout.load.most_layers)
        return tight_bound_s(ideal, self._table, group, which, self._budget)

    def _tighten(self) -> None:
        known = self._combinations
        opened = np.sort(self._order[self._opened : self._opened + self._window])
        self._opened += len(opened)
        self._window *= 2
        owners = known.owners(opened)
        for owner in distinct(owners).tolist():
            group, indices = known.groups[owner], opened[owners == owner]
            which = indices - known.first[owner]
            bounds, layers = self._bounds(group, which)
            bounds = np.maximum(bounds, known.quick_s[indices])
            self.layers.update(zip(indices.tolist(), layers.tolist(), strict=True))
            for entry in zip(bounds.tolist(), indices.tolist(), layers.tolist(), strict=True):
                heappush(self._tight, Open(*entry))
