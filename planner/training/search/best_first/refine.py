"""Refinement in order of the bound: the combination with the smallest bound is placed and priced,
until the k-th best plan is no worse than the smallest bound that remains.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, estimate, shard_of
from planner.training.search.best_first.best import CLOSED, Priced
from planner.training.search.best_first.queue import BoundQueue, Open
from planner.training.search.bounding.fewest import least_load
from planner.training.search.hosts.bound import simulated_bound_s
from planner.training.search.hosts.methods import ALIKE, PlacedPlan
from planner.training.search.layouts.choose import DefaultStep
from planner.training.search.layouts.on_links import moved_on_links
from planner.training.step.ahead import with_ahead
from planner.training.step.simulated import slowest_spans
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.plan import Plan
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.search.best_first.best import BestPlans
    from planner.training.search.best_first.combinations import Combinations
    from planner.training.search.hosts.choose import PlacementSearch
    from planner.workload.stages import StageLoad


FITTED = 3
"""How often the layers of a plan are moved and its hosts chosen in turn."""


class Refinement:
    """The walk over the combinations. `step` does a little of it. What is found is in `best`, also
    when OutOfTime or an interrupt ends a step; the combination that it worked on is then lost, so
    that only the bound from before the step holds."""

    def __init__(
        self,
        combinations: Combinations,
        table: CostTable,
        best: BestPlans,
        placements: PlacementSearch | None,
        budget: Budget,
        *,
        like_plain: frozenset[str] = frozenset(),
    ) -> None:
        """`table` and the bounds of `combinations` are of the ideal scenario. `placements`: None
        where all orders of the hosts are alike. `like_plain`: schedules that are another one of the
        space where no stage runs ahead."""
        self._combinations = combinations
        self._scenario, self._ideal = combinations.scenario, combinations.scenario.ideal
        self._table, self._best, self._placed_by = table, best, placements
        self._budget, self._like_plain = budget, like_plain
        self._queue = BoundQueue(combinations, table, budget)
        self._done_early: set[int] = set()
        self._bounded_early: dict[int, Open] = {}
        self._default: dict[int, DefaultStep] = {}
        self._fitted: set[Plan] = set()
        self.refined = self.placed = 0

    @property
    def done(self) -> bool:
        """Whether the best plans are proven best, or nothing is left."""
        return self._queue.least_s == inf or self._queue.least_s >= self._best.slowest_s

    @property
    def spent(self) -> bool:
        """Whether the walk has done all the work that it may."""
        return False

    @property
    def bound_s(self) -> float | None:
        """No combination that is not among the best takes less, wherever its stages are placed;
        None when there is no other."""
        bound_s = min(self._queue.least_s, self._best.left_out_s)
        return None if bound_s == inf else float(bound_s)

    def refine_early(self, combinations: Iterable[Open], most: int) -> None:
        """Refine some out of their turn, `most` of them and only such as may be among the best: a
        good plan early leaves little to be placed. Raises: OutOfTime."""
        placed = 0
        for opened in combinations:
            self._budget.check()
            raised = opened
            while raised.bound_s < self._best.slowest_s and not raised.programmed:
                raised = self._raised(raised)
            self._bounded_early[opened.index] = raised
            if raised.bound_s >= self._best.slowest_s:
                continue
            self._refine(raised)
            self._done_early.add(opened.index)
            placed += 1
            if placed == most:
                return

    def step(self) -> None:
        """Tighten some bounds or refine one combination. Raises: OutOfTime."""
        opened = self._queue.pop()
        if opened is None or opened.index in self._done_early:
            return
        early = self._bounded_early.pop(opened.index, opened)
        if early.bound_s > opened.bound_s:
            self._queue.push(early)
        elif opened.searched or self._ideal is self._scenario:
            self._refine(opened)
        else:
            self._queue.push(self._raised(opened))

    def look_around(self) -> None:
        """Try what the order of bounds may have missed, before the walk ends without a proof.
        Raises: OutOfTime."""

    def default_step(self, index: int) -> DefaultStep | None:
        """What is known of a combination with its default layout on the hosts as listed; None where
        it was not simulated there."""
        return self._default.get(index)

    def recomputed_layers(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of combinations whose bounds were tightened, the layers per chunk that these assume; −1
        of others."""
        known = self._queue.layers
        return np.array([known.get(index, -1) for index in indices.tolist()], dtype=np.int64)

    def plan(self, index: int, recomputed_layers: int) -> Plan:
        """A combination's plan with the default stage layout, on the hosts found for it."""
        kept = self._best.of(index)
        return self._combinations.plan(index, recomputed_layers) if kept is None else kept.plan

    def batch(self, index: int, plan: Plan) -> Batch:
        """A plan of a combination as a batch, which points into the table of costs."""
        load = stage_load(self._scenario.model, self._scenario.kinds, plan.stages)
        return batch_of_one(plan, self._table.shards.index(shard_of(plan)), load)

    def replace(self, index: int, plan: Plan) -> None:
        """Let a combination have a plan with another stage layout, if that is faster. Raises:
        OutOfTime."""
        scenario, table = self._scenario, self._table
        load = stage_load(scenario.model, scenario.kinds, plan.stages)
        batch = self.batch(index, plan)
        if self._ideal is scenario:
            simulated = slowest_spans(scenario, table, with_ahead(scenario, table, batch))
            known = self._best.of(index)
            if known is not None and simulated.step_s * CLOSED >= known.step_s:
                return
            found = estimate(scenario, plan, table=table, load=load, simulated=simulated)
            placed = PlacedPlan(plan=plan, bound_s=found.step_s, method=ALIKE)
        else:
            enough_s = self._best.slowest_s
            anywhere_s = simulated_bound_s(self._ideal, table, batch)
            if anywhere_s < enough_s:
                anywhere_s = max(anywhere_s, self._placements.everywhere.bound_s(plan, enough_s))
            if anywhere_s >= enough_s:
                return
            placed = self._placements.place_like_others(
                plan, anywhere_s, below_s=self._best.wanted_s(index), enough_s=enough_s
            )
            found = estimate(scenario, placed.plan)
        if found.memory.fits:
            self._best.offer(Priced.of(index, placed, found))

    def fit_to_links(self) -> None:
        """Move layers of the plans kept to where their hosts have better links, and place them
        again. Raises: OutOfTime."""
        for one in self._best.kept:
            known: Priced | None = one
            for _ in range(FITTED):
                self._budget.check()
                if known is None or known.plan in self._fitted:
                    break
                self._fitted.add(known.plan)
                moved = moved_on_links(self._scenario, known.plan, self._budget)
                if moved is known.plan:
                    break
                # What other hosts make of the old layout stays in the gap.
                old_s = self._placements.everywhere.bound_s(known.plan)
                self._best.raise_bound(known.index, old_s)
                self.replace(known.index, moved)
                known = self._best.of(known.index)

    def on_any_hosts_s(self, index: int) -> float:
        """A bound over all placements and stage layouts of a combination. Raises: OutOfTime."""
        plan = self._combinations.plan(index, self._queue.layers.get(index, 0))
        group, _ = self._combinations.place(index)
        least = least_load(self._scenario, group.layout.load)
        return self._placements.everywhere.any_layout_bound_s(plan, least)

    @property
    def _placements(self) -> PlacementSearch:
        assert self._placed_by is not None
        return self._placed_by

    def _raised(self, opened: Open) -> Open:
        """With a higher bound, before a placement is looked for: its pipeline simulated, then what
        its placement program says without a search, with what is known of others on its grid by
        then, then what it says with one."""
        plan = self._combinations.plan(opened.index, opened.recomputed_layers)
        if opened.simulated:
            bound_s = self._placements.everywhere.bound_s(plan, self._best.slowest_s)
            if bound_s <= opened.bound_s and opened.programmed:
                bound_s = self._placements.everywhere.solved_bound_s(plan)
                opened = replace(opened, searched=True)
            return replace(opened, bound_s=max(opened.bound_s, bound_s), programmed=True)
        group, _ = self._combinations.place(opened.index)
        batch = batch_of_one(plan, self._table.shards.index(shard_of(plan)), group.layout.load)
        bound_s = max(opened.bound_s, simulated_bound_s(self._ideal, self._table, batch))
        return replace(opened, bound_s=bound_s, simulated=True)

    def _refine(self, opened: Open) -> None:
        plan = self._combinations.plan(opened.index, opened.recomputed_layers)
        group, _ = self._combinations.place(opened.index)
        self.refined += 1
        if self._ideal is self._scenario:
            self._refine_alike(opened, plan, group.layout.load)
            return
        self.placed += 1
        placed = self._placements.place(plan, opened.bound_s, enough_s=self._best.slowest_s)
        if self._is_plain(placed.plan, group.layout.load):
            return
        found = estimate(self._scenario, placed.plan, load=group.layout.load)
        if found.memory.fits:
            self._best.offer(Priced.of(opened.index, placed, found))
        else:
            self._best.give_up(placed.bound_s)

    def _refine_alike(self, opened: Open, plan: Plan, load: StageLoad) -> None:
        """Where all orders of the hosts are alike: a plan too slow to be kept is not priced any
        further."""
        scenario, table = self._scenario, self._table
        batch = batch_of_one(plan, table.shards.index(shard_of(plan)), load)
        batch = with_ahead(scenario, table, batch)
        simulated = slowest_spans(scenario, table, batch)
        least_s = simulated.step_s * CLOSED
        self._default[opened.index] = DefaultStep(least_s=least_s)
        if self._best.rules_out(least_s):
            return
        found = estimate(scenario, plan, table=table, load=load, simulated=simulated)
        self._default[opened.index] = DefaultStep(least_s=found.step_s, exact=True)
        placed = PlacedPlan(plan=plan, bound_s=found.step_s, method=ALIKE)
        self._best.offer(Priced.of(opened.index, placed, found))

    def _is_plain(self, plan: Plan, load: StageLoad) -> bool:
        """Whether a plan is another one of the space, since no stage of it runs ahead."""
        if plan.schedule not in self._like_plain:
            return False
        scenario = self._scenario.running(plan)
        table = cost_table(scenario, [shard_of(plan)])
        batch = with_ahead(scenario, table, batch_of_one(plan, 0, load))
        return batch.ahead is None or not batch.ahead.any()
