"""Refinement in order of the bound: quick bounds are tightened, tight ones refined, smallest first,
until the k-th best refined plan is no worse than the smallest bound that remains.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from planner.confidence.interval import tied
from planner.estimate import estimate
from planner.plan import RankedPlan
from planner.search.bounds import tight_bound_s
from planner.search.build import plan_of
from planner.search.facts import value_of
from planner.search.space import GRID_AXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.costs import CostTable
    from planner.plan import Estimate, Plan
    from planner.scenario import Scenario
    from planner.search.bounds import Fitting
    from planner.search.placement.hosts import PlacementChooser

FIRST_WINDOW = 64
"""Combinations whose bound is tightened at once; the next window is twice as large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refined:
    """Sorted by time, then by the position in the order of enumeration."""

    step_s: float
    index: int
    plan: Plan
    estimate: Estimate

    @property
    def key(self) -> tuple[float, int]:
        return self.step_s, self.index


class Refinement:
    """Best-first refinement of the combinations that fit. `step` does a little of it; between
    steps everything found so far can be read."""

    def __init__(
        self,
        scenario: Scenario,
        table: CostTable,
        groups: Sequence[Fitting],
        *,
        top: int,
        placement: PlacementChooser,
    ) -> None:
        self._scenario = scenario
        self._table = table
        self._groups = groups
        self._top = top
        self._placement = placement
        self._first = np.cumsum([0, *map(len, groups)])
        self._quick_s = np.concatenate([np.zeros(0), *(group.bound_s for group in groups)])
        self._order = np.argsort(self._quick_s, kind="stable")
        self._opened = 0
        self._window = FIRST_WINDOW
        self._tight: list[tuple[float, int, int]] = []
        self._best: list[_Refined] = []
        self.refined = 0

    @property
    def done(self) -> bool:
        """Whether the best plans are proven best, or nothing is left."""
        bound_s = self.bound_s
        proven = len(self._best) == self._top and (bound_s or 0.0) >= self._best[-1].step_s
        return bound_s is None or proven

    def step(self) -> None:
        """Tighten a window of bounds or refine one combination."""
        if self._tight and self._tight[0][0] <= self._next_quick_s:
            _, index, layers = heappop(self._tight)
            self._refine(index, layers)
        else:
            self._tighten()

    @property
    def bound_s(self) -> float | None:
        """No combination that is not refined takes less; None when all are refined."""
        bound_s = min(self._tight[0][0] if self._tight else np.inf, self._next_quick_s)
        return None if bound_s == np.inf else float(bound_s)

    @property
    def best_s(self) -> float | None:
        return self._best[0].step_s if self._best else None

    @property
    def plans(self) -> tuple[RankedPlan, ...]:
        return tuple(
            RankedPlan(
                rank=rank,
                plan=found.plan,
                estimate=found.estimate,
                tied_with_best=tied(found.step_s, self._best[0].step_s),
            )
            for rank, found in enumerate(self._best, start=1)
        )

    @property
    def _next_quick_s(self) -> float:
        if self._opened == len(self._order):
            return np.inf
        return float(self._quick_s[self._order[self._opened]])

    def _tighten(self) -> None:
        opened = np.sort(self._order[self._opened : self._opened + self._window])
        self._opened += len(opened)
        self._window *= 2
        owners = np.searchsorted(self._first, opened, side="right") - 1
        for owner in np.unique(owners).tolist():
            indices = opened[owners == owner]
            bounds, layers = tight_bound_s(
                self._scenario, self._table, self._groups[owner], indices - self._first[owner]
            )
            bounds = np.maximum(bounds, self._quick_s[indices])
            for entry in zip(bounds.tolist(), indices.tolist(), layers.tolist(), strict=True):
                heappush(self._tight, entry)

    def _refine(self, index: int, recomputed_layers: int) -> None:
        owner = int(np.searchsorted(self._first, index, side="right")) - 1
        group = self._groups[owner]
        plan = plan_at(
            self._scenario,
            group,
            index - int(self._first[owner]),
            recomputed_layers,
            self._placement,
        )
        found = estimate(self._scenario, plan, table=self._table, load=group.layout.load)
        self.refined += 1
        insort(
            self._best,
            _Refined(step_s=found.step_s, index=index, plan=plan, estimate=found),
            key=lambda refined: refined.key,
        )
        del self._best[self._top :]


def plan_at(
    scenario: Scenario,
    group: Fitting,
    index: int,
    recomputed_layers: int,
    placement: PlacementChooser,
) -> Plan:
    """The plan of one combination of a group."""
    row = int(group.grid_row[index])
    columns = group.screened.columns
    values = {axis: value_of(axis, int(columns[axis][row])) for axis in GRID_AXES}
    values |= {
        "pipeline": group.screened.pipeline,
        "virtual_stages": group.virtual_stages,
        "schedule": group.schedule,
        "recompute": value_of("recompute", int(group.recompute[index])),
        "data_sharding": value_of("data_sharding", int(group.data_sharding[index])),
    }
    return plan_of(scenario, values, group.layout.stages, recomputed_layers, placement)
