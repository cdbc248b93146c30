"""Plans on the hosts in the order of the cluster file: what a search refines first where nodes are
not alike, and what it has to show when time runs out before anything was refined."""

from __future__ import annotations

from bisect import insort
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.training.estimate import point_estimate, with_confidence
from planner.training.search.best_first.best import Priced
from planner.training.search.best_first.queue import Open
from planner.training.search.bounding.tight import tight_bound_s
from planner.training.search.hosts.methods import ALIKE, AS_LISTED, PlacedPlan

if TYPE_CHECKING:
    from planner.budget import Budget
    from planner.training.costs import CostTable
    from planner.training.search.best_first.best import BestPlans
    from planner.training.search.best_first.combinations import Combinations

DEGREE_AXES = ("tensor", "context", "expert", "expert_tensor")

PRICED_AS_LISTED = 128
"""Combinations that scouting prices."""

LAST_TRIES = 16
"""Combinations of which one is priced at last where time ran out before any was."""


class ListedPlans:
    """Prices combinations on the hosts as listed and remembers the fastest plan that fits."""

    def __init__(self, combinations: Combinations, fastest: Priced | None = None) -> None:
        """`fastest`: known already, of one of the combinations."""
        self._combinations = combinations
        self.fastest = fastest

    def scouted(
        self, table: CostTable, top: int, budget: Budget, *, below_s: float = inf
    ) -> list[Open]:
        """Of every set of degrees and schedule the combination with the smallest bound, fastest on
        the hosts as listed first; without those that cannot be among the `top` and take less than
        `below_s`, whatever their hosts. Raises: OutOfTime."""
        known, found = self._combinations, []
        prices_s: list[float] = []
        for owner, index in self._one_of_each():
            budget.check()
            slowest_s = min(below_s, prices_s[top - 1] if len(prices_s) >= top else inf)
            if known.quick_s[index] >= slowest_s:
                break
            group, which = known.groups[owner], np.array([index - known.first[owner]])
            bounds, layers = tight_bound_s(known.scenario.ideal, table, group, which, budget)
            opened = Open(float(bounds[0]), index, int(layers[0]))
            if opened.bound_s < slowest_s:
                price_s, fits = self._price(opened)
                found.append((price_s, opened))
                if fits:
                    insort(prices_s, price_s)
        return [opened for _, opened in sorted(found, key=lambda one: (one[0], one[1].index))]

    def price_some(self, budget: Budget) -> int:
        """Price the combinations with the smallest bounds, one at least, until one fits. Returns
        how many."""
        quick_s = self._combinations.quick_s
        tried = 0
        for index in np.argsort(quick_s, kind="stable")[:LAST_TRIES].tolist():
            group, _ = self._combinations.place(index)
            self._price(Open(float(quick_s[index]), index, group.layout.load.most_layers))
            tried += 1
            if self.fastest is not None or budget.late:
                break
        return tried

    def offer_to(self, best: BestPlans) -> None:
        """Offer the fastest plan that fits, if one was priced."""
        if self.fastest is not None:
            scenario, one = self._combinations.scenario, self.fastest
            best.offer(replace(one, estimate=with_confidence(scenario, one.plan, one.estimate)))

    def _price(self, opened: Open) -> tuple[float, bool]:
        """Seconds of a step, and whether it fits."""
        scenario = self._combinations.scenario
        group, _ = self._combinations.place(opened.index)
        plan = self._combinations.plan(opened.index, opened.recomputed_layers)
        cost = point_estimate(scenario, plan, load=group.layout.load)
        placed = PlacedPlan(plan=plan, bound_s=opened.bound_s, method=AS_LISTED)
        if scenario.ideal is scenario:
            placed = PlacedPlan(plan=plan, bound_s=cost.step_s, method=ALIKE)
        faster = self.fastest is None or cost.step_s < self.fastest.step_s
        if cost.memory.fits and faster:
            self.fastest = Priced.of(opened.index, placed, cost)
        return cost.step_s, cost.memory.fits

    def _one_of_each(self) -> list[tuple[int, int]]:
        """Group and index of the combination with the smallest bound of every set of degrees and
        schedule, the smallest bounds first."""
        known = self._combinations
        best: dict[tuple[object, ...], tuple[float, int, int]] = {}
        for owner, group in enumerate(known.groups):
            columns, first = group.screened.columns, int(known.first[owner])
            degrees = np.stack([columns[axis][group.grid_row] for axis in DEGREE_AXES])
            order = np.argsort(group.bound_s, kind="stable")
            _, smallest = np.unique(degrees[:, order], axis=1, return_index=True)
            for index in order[smallest].tolist():
                key = (group.screened.pipeline, group.schedule, *degrees[:, index].tolist())
                entry = (float(group.bound_s[index]), owner, first + index)
                if key not in best or entry < best[key]:
                    best[key] = entry
        return [(owner, index) for _, owner, index in sorted(best.values())[:PRICED_AS_LISTED]]
