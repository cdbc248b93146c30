"""Bounds over all spreads of layers over chunks, of the interleaved combinations that may still
change the best plans: the one with the smallest bound first, since it decides the gap."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
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
    from planner.training.search.best_first.layout_walk import KnownPlans
    from planner.training.search.bounding.every_layout import LayoutStages
    from planner.training.search.bounding.fitting import Fitting

PROGRAMS = 64
"""Most cases of up to `CHUNKS` chunks for which an average of paths is looked for in one search."""

CHUNKS = 128
"""Chunks of a pipeline above which a program counts for several: both its rows and its columns grow
with them."""


SETTLED, PASSES = 150, 32768
"""The same of rounds in which simulations are followed, each of which counts once more for every so
many passes that are simulated; one for each case where there are more."""

ROUNDS = 4
"""Of these in a row for one case."""

MOST_CHUNKS = 192
"""Chunks of a pipeline above which simulations are not followed: one program takes a second."""

ENOUGH = 0.005
"""Gap at which simulations and programs of interleaved layouts need not make it smaller."""


class KnownStages(NamedTuple):
    """What is known of the stages of some combinations of a group, at `places` in ascending
    order."""

    places: Ints
    stages: LayoutStages

    def at(self, places: Ints) -> LayoutStages:
        """Those at places that are known."""
        return self.stages.some(np.searchsorted(self.places, places))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spreads:
    """`scenario` and `table` are of the ideal topology. Of combinations [n] at `indices`: `layers`,
    those recomputed per chunk of the default layout; `known` by group."""

    scenario: Scenario
    table: CostTable
    groups: Sequence[Fitting]
    best: KnownPlans
    solver: Solver
    budget: Budget
    indices: Ints
    layers: Ints
    known: Mapping[int, KnownStages]

    def raised(self, wanted: Bools, bounds_s: Floats) -> Floats:
        """The bounds of the combinations, those `wanted` raised where their schedules run in
        groups. An end of time is no error."""
        below_s = np.full(len(self.indices), self.best.slowest_s)
        several, first_s = self._stated(wanted, bounds_s, below_s)
        with suppress(OutOfTime):
            self._raise_least(several, bounds_s)
        return _of_combinations(several, first_s, bounds_s, below_s)

    def settled(self, bounds_s: Mapping[int, float]) -> dict[int, float]:
        """The same of bounds by the index of a combination, by simulations, when the plans are
        known that are to be listed: as far as `ENOUGH` below what a layout has to beat."""
        wanted = np.isin(self.indices, list(bounds_s))
        indices = self.indices[wanted].tolist()
        known_s, beaten_s = np.full((2, len(wanted)), np.inf)
        known_s[wanted] = [bounds_s[index] for index in indices]
        beaten_s[wanted] = [self.best.wanted_s(index) for index in indices]
        beaten_s = np.minimum(beaten_s, self.best.slowest_s)
        below_s = (1 - ENOUGH) * beaten_s
        several, first_s = self._stated(wanted, known_s, below_s)
        with suppress(OutOfTime):
            self._settle(several, known_s, beaten_s)
        settled_s = _of_combinations(several, first_s, known_s, below_s)[wanted]
        return {**bounds_s, **dict(zip(indices, settled_s.tolist(), strict=True))}

    def _stated(
        self, wanted: Bools, bounds_s: Floats, below_s: Floats
    ) -> tuple[list[SpreadBounds], Floats]:
        """The cases of the combinations with a bound below `below_s`, by schedule and size; and
        the bounds, infinite where cases have them."""
        indices, layers, known = self.indices, self.layers, self.known
        first = np.cumsum([0, *map(len, self.groups)])
        owners = np.searchsorted(first, indices, side="right") - 1
        parts: dict[tuple[str, int, int], list[SpreadCases]] = {}
        rest_s = bounds_s.copy()
        open_ = wanted & (bounds_s < below_s)
        for owner in np.unique(owners[open_]).tolist():
            group = self.groups[owner]
            shape = (group.schedule, group.screened.pipeline, group.virtual_stages)
            if not self._in_groups(shape):
                continue
            at = np.flatnonzero(open_ & (owners == owner))
            batch = batch_of(self.scenario, group, indices[at] - first[owner], layers[at])
            stages = known[owner].at(at)
            cases = SpreadCases.of(self.scenario, self.table, batch, stages, at, below_s[at])
            parts.setdefault(shape, []).append(cases)
            rest_s[at] = np.inf
        joined = {shape: SpreadCases.joined(some).raised(bounds_s) for shape, some in parts.items()}
        return [self._bounds(shape, cases) for shape, cases in joined.items() if len(cases)], rest_s

    def _raise_least(self, several: Sequence[SpreadBounds], known_s: Floats) -> None:
        """Raise the smallest bound, until that does not help. Raises: OutOfTime."""
        left = self.budget.meter(PROGRAMS)
        tried: set[tuple[int, int]] = set()
        while several and not left.ended:
            least = [np.maximum(one.bound_s, known_s[one.cases.combination]) for one in several]
            number = int(np.argmin([one.min() for one in least]))
            case = int(least[number].argmin())
            if (number, case) in tried or least[number][case] >= self.best.slowest_s:
                return
            several[number].raise_bound(case, self.budget)
            tried.add((number, case))
            left.spend(max(1.0, several[number].chunks / CHUNKS) ** 3)

    def _settle(self, several: Sequence[SpreadBounds], known_s: Floats, beaten_s: Floats) -> None:
        """Raise the bound that decides the gap, until that does not help. Raises: OutOfTime."""
        cases = sum(len(one.cases) for one in several)
        left = self.budget.meter(max(SETTLED, cases))
        closed: set[tuple[int, int]] = set()
        while several and not left.ended:
            shares = []
            for one in several:
                of = one.cases.combination
                shares.append(np.maximum(one.bound_s, known_s[of]) / beaten_s[of])
            number = int(np.argmin([one.min() for one in shares]))
            case = int(shares[number].argmin())
            if (number, case) in closed or shares[number][case] >= 1 - ENOUGH:
                return
            if several[number].chunks > MOST_CHUNKS:
                return
            if not several[number].raise_bound(case, self.budget, rounds=ROUNDS):
                closed.add((number, case))
            left.spend(ROUNDS * (1 + several[number].passes(case) / PASSES))

    def _in_groups(self, shape: tuple[str, int, int]) -> bool:
        schedule, pipeline, chunks = shape
        kept = kept_layout(self.scenario, pipeline, chunks, schedule)
        return chunks > 1 and kept is None and kind_of(schedule).runs_in_groups

    def _bounds(self, shape: tuple[str, int, int], cases: SpreadCases) -> SpreadBounds:
        schedule, pipeline, _ = shape
        layers = self.scenario.model.num_layers
        sends = send_mode(self.scenario.job.software, schedule)
        return SpreadBounds(schedule, pipeline, sends, cases, layers, self.solver)


def _of_combinations(
    several: Sequence[SpreadBounds], rest_s: Floats, known_s: Floats, below_s: Floats
) -> Floats:
    """Bounds of combinations: the least of their cases, which are those of layouts that take less
    than `below_s`; never less than `known_s`."""
    raised = rest_s.copy()
    for one in several:
        np.minimum.at(raised, one.cases.combination, BELOW * one.bound_s)
    return np.maximum(np.minimum(raised, below_s), known_s)
