"""Bounds over all spreads of layers over chunks, of the interleaved combinations that may still
change the best plans: the one with the smallest bound first, since it decides the gap."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.budget import OutOfTime
from planner.schedule.registry import kind_of
from planner.training.search.bounding.fitting import batch_of
from planner.training.search.bounding.quick import BELOW
from planner.training.search.bounding.spread_cases import SpreadCases
from planner.training.search.bounding.spreads import SpreadBounds
from planner.training.search.layouts.problem import kept_layout
from planner.training.step.sends import send_mode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.arrays import Bools, Floats, Ints
    from planner.budget import Budget
    from planner.solver import Solver
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.best import BestPlans
    from planner.training.search.bounding.every_layout import LayoutStages
    from planner.training.search.bounding.fitting import Fitting

PROGRAMS = 64
"""Most cases of up to `CHUNKS` chunks for which an average of paths is looked for in one search."""

CHUNKS = 128
"""Chunks of a pipeline above which a program counts for several: both its rows and its columns grow
with them."""


class KnownStages(NamedTuple):
    """What is known of the stages of some combinations of a group, at `places` in ascending
    order."""

    places: Ints
    stages: LayoutStages

    def at(self, places: Ints) -> LayoutStages:
        """Those at places that are known."""
        return self.stages.some(np.searchsorted(self.places, places))


class Spreads:
    """`scenario` and `table` are of the ideal topology."""

    def __init__(
        self,
        scenario: Scenario,
        table: CostTable,
        groups: Sequence[Fitting],
        best: BestPlans,
        solver: Solver,
        budget: Budget,
    ) -> None:
        self._scenario, self._table, self._groups = scenario, table, groups
        self._best, self._solver, self._budget = best, solver, budget

    def raised(
        self,
        indices: Ints,
        layers: Ints,
        wanted: Bools,
        bounds_s: Floats,
        known: Mapping[int, KnownStages],
    ) -> Floats:
        """The bounds of the combinations, those `wanted` raised where their schedules run in
        groups. `layers`: recomputed layers per chunk of their default layouts; `known` by group. An
        end of time is no error."""
        first = np.cumsum([0, *map(len, self._groups)])
        owners = np.searchsorted(first, indices, side="right") - 1
        raised = bounds_s.copy()
        below_s = self._best.slowest_s
        parts: dict[tuple[str, int, int], list[SpreadCases]] = {}
        open_ = wanted & (bounds_s < below_s)
        for owner in np.unique(owners[open_]).tolist():
            group = self._groups[owner]
            shape = (group.schedule, group.screened.pipeline, group.virtual_stages)
            if not self._in_groups(shape):
                continue
            at = np.flatnonzero(open_ & (owners == owner))
            batch = batch_of(self._scenario, group, indices[at] - first[owner], layers[at])
            stages = known[owner].at(at)
            cases = SpreadCases.of(self._scenario, self._table, batch, stages, at, below_s)
            parts.setdefault(shape, []).append(cases)
            raised[at] = np.inf
        joined = {shape: SpreadCases.joined(some) for shape, some in parts.items()}
        several = [self._bounds(shape, cases) for shape, cases in joined.items() if len(cases)]
        with suppress(OutOfTime):
            self._raise_least(several, bounds_s)
        for one in several:
            np.minimum.at(raised, one.cases.combination, BELOW * one.bound_s)
        # The cases are those of layouts that take less.
        return np.maximum(np.minimum(raised, below_s), bounds_s)

    def _raise_least(self, several: Sequence[SpreadBounds], known_s: Floats) -> None:
        """Raise the smallest bound, until that does not help. Raises: OutOfTime."""
        left = self._budget.meter(PROGRAMS)
        tried: set[tuple[int, int]] = set()
        while several and not left.ended:
            least = [np.maximum(one.bound_s, known_s[one.cases.combination]) for one in several]
            number = int(np.argmin([one.min() for one in least]))
            case = int(least[number].argmin())
            if (number, case) in tried or least[number][case] >= self._best.slowest_s:
                return
            several[number].raise_bound(case, self._budget)
            tried.add((number, case))
            left.spend(max(1, several[number].chunks // CHUNKS) ** 3)

    def _in_groups(self, shape: tuple[str, int, int]) -> bool:
        schedule, pipeline, chunks = shape
        kept = kept_layout(self._scenario, pipeline, chunks, schedule)
        return chunks > 1 and kept is None and kind_of(schedule).runs_in_groups

    def _bounds(self, shape: tuple[str, int, int], cases: SpreadCases) -> SpreadBounds:
        schedule, pipeline, _ = shape
        layers = self._scenario.model.num_layers
        sends = send_mode(self._scenario.job.software, schedule)
        return SpreadBounds(schedule, pipeline, sends, cases, layers, self._solver)
