"""The walk over combinations on mixed devices: types, layers and recomputation of the one with the
smallest bound are solved for, which raises its bound; hosts are looked for only where the answer
may be among the plans kept."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from planner.solver import Solver
from planner.training.costs import cost_table
from planner.training.estimate import (
    batch_of_one,
    estimate,
    point_estimate,
    shard_of,
    with_confidence,
)
from planner.training.search.best_first.best import Priced
from planner.training.search.best_first.by_rule import plans_by_rule
from planner.training.search.best_first.dispatchers import DispatcherBounds, passes_s
from planner.training.search.best_first.queue import Open
from planner.training.search.best_first.refine import Refinement
from planner.training.search.hosts.methods import TYPES, PlacedPlan
from planner.training.search.layouts.problem import kept_layout
from planner.training.search.mixed.combination import SolvedCombination, solve
from planner.training.search.mixed.known_paths import KnownPaths
from planner.training.search.mixed.typed import TypedCombination

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.budget import Budget
    from planner.plan import Plan
    from planner.training.costs import CostTable
    from planner.training.search.best_first.best import BestPlans
    from planner.training.search.best_first.combinations import Combinations
    from planner.training.search.hosts.choose import PlacementSearch
    from planner.training.search.mixed.combination import Candidate
    from planner.workload.shard import Shard


_Key = tuple["Plan", bytes]


class _Wanted(NamedTuple):
    """What decides the answer of a combination."""

    least_s: float
    below_s: float
    near_s: float
    turn: int
    splits: bool


class MixedRefinement(Refinement):
    """The same walk, with bounds that hold for all layouts, types and hosts."""

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
        super().__init__(combinations, table, best, placements, budget, like_plain=like_plain)
        self._solved: dict[int, SolvedCombination] = {}
        self._settled = 0
        self._improved = 0
        """Programs solved when the best plan was found."""
        self._seen: set[Plan] = set()
        self._offered: set[int] = set()
        self._turns: dict[int, int] = {}
        self._closed: dict[int, float] = {}
        self._tables: dict[Shard, tuple[CostTable, ...]] = {}
        self._typed: dict[int, TypedCombination] = {}
        self._keys: dict[int, _Key] = {}
        self._answers: dict[_Key, tuple[_Wanted, SolvedCombination]] = {}
        self._passes: dict[int, Floats] = {}
        self._dispatchers = DispatcherBounds()
        self._ended = False
        self._around_s: float | None = None
        """What the best plan took after plans by a rule were priced."""
        self._known = KnownPaths(Solver() if placements is None else placements.solver)

    @property
    def spent(self) -> bool:
        return self._ended or (self._may_end and not self._looks_around)

    @property
    def _looks_around(self) -> bool:
        """Whether the walk found a better plan since plans by a rule were priced, and combinations
        that are left may be faster than that by more than `NEAR_SLOWEST`."""
        improved = self._around_s is None or self._best.first_s < self._around_s
        return improved and self._queue.least_s < (1 - NEAR_SLOWEST) * self._best.first_s

    @property
    def _may_end(self) -> bool:
        best, least_s = self._best, self._queue.least_s
        if best.full and self._far and self.refined >= max(FAR_SOLVED, _PATIENCE * self._improved):
            return True
        if self.refined >= SOLVED:
            return True
        if self.refined < SOME:
            return False
        near_first = least_s >= (1 - NEAR_FIRST) * best.first_s
        gap = max(NEAR_SLOWEST * (self.refined >= MANY), self._closed_gap())
        return best.full and near_first and least_s >= (1 - gap) * best.slowest_s

    @property
    def _far(self) -> bool:
        """Whether combinations that are left may be much faster than the best plan."""
        return self._queue.least_s < (1 - FAR) * self._best.first_s

    def _closed_gap(self) -> float:
        """The gap of the combinations for which nothing more is done."""
        best = self._best
        kept = {one.index: one.step_s for one in best.kept}
        slowest_s = best.slowest_s
        return max(
            (1 - bound_s / kept.get(at, slowest_s) for at, bound_s in self._closed.items()),
            default=0.0,
        )

    def step(self) -> None:
        """Tighten some bounds, solve one combination or price its plans. Raises: OutOfTime."""
        if self._may_end and self._looks_around:
            # Better plans leave gaps no larger than those with which the walk may end.
            self._ended = not self._far
            self.look_around()
            return
        opened = self._queue.pop()
        if opened is None:
            return
        if opened.simulated:
            self._close(opened, self._solved.pop(opened.index))
            return
        carried_s = self._carried_s(opened)
        if carried_s > opened.bound_s:
            self._best.raise_bound(opened.index, carried_s)
            self._queue.push(replace(opened, bound_s=carried_s))
            return
        solved = self._solve(opened)
        opened = replace(opened, bound_s=max(opened.bound_s, solved.bound_s))
        self._note_for_dispatchers(opened, solved)
        self._best.raise_bound(opened.index, opened.bound_s)
        if solved.open:
            self._price(opened, solved)
            self._queue.push(opened)
        elif not self._best.full:
            self._close(opened, solved)
        elif opened.bound_s < inf:
            # A plan that is much faster than the best leaves less to be solved for.
            if solved.least_s < (1 - NEAR_FIRST) * self._best.first_s:
                self._price(opened, solved)
            self._solved[opened.index] = solved
            self._queue.push(replace(opened, simulated=True))

    def look_around(self) -> None:
        """Price plans by a rule, since bounds may not tell which combinations are good, and solve
        the best of these. Raises: OutOfTime."""
        best = self._best
        if self.done or not self._looks_around:
            return
        most = max(best.top, AROUND)
        found = plans_by_rule(self._combinations, self._table, most, best.slowest_s, self._budget)
        for one in found:
            self._budget.check()
            self._seen.add(one.plan)
            sure = with_confidence(self._scenario, one.plan, one.estimate)
            self._offer(replace(one, estimate=sure))
        for one in found[:AROUND]:
            group, _ = self._combinations.place(one.index)
            opened = Open(one.bound_s, one.index, group.layout.load.most_layers)
            solved = self._solve(opened)
            best.raise_bound(one.index, solved.bound_s)
            self._price(replace(opened, bound_s=solved.bound_s), solved)
        self._around_s = best.first_s

    def _carried_s(self, opened: Open) -> float:
        """A bound in seconds by those of other dispatchers; 0 without experts."""
        plan = self._combinations.plan(opened.index, opened.recomputed_layers)
        if plan.dispatcher is None:
            return 0.0
        passes = self._passes_s(opened.index, plan)
        return self._dispatchers.bound_s(opened.index, plan, passes, self._best.slowest_s)

    def _note_for_dispatchers(self, opened: Open, solved: SolvedCombination) -> None:
        plan = self._combinations.plan(opened.index, opened.recomputed_layers)
        if plan.dispatcher is not None:
            passes = self._passes_s(opened.index, plan)
            self._dispatchers.note(opened.index, plan, passes, opened.bound_s, solved.least_s)

    def _passes_s(self, index: int, plan: Plan) -> Floats:
        if index not in self._passes:
            shard = shard_of(plan)
            typed = self._typed_tables(shard)
            rows = [self._table.shards.index(shard), *(0 for _ in typed)]
            self._passes[index] = passes_s([self._table, *typed], rows)
        return self._passes[index]

    def _solve(self, opened: Open) -> SolvedCombination:
        self.refined += 1
        turn = self._turns[opened.index] = self._turns.get(opened.index, -1) + 1
        below_s = self._best.slowest_s
        plan = self._combinations.plan(opened.index, opened.recomputed_layers)
        several = plan.virtual_stages > 1
        splits = several and turn > 0 and self._settled < SETTLED
        near_s = (1 - NEAR_FIRST) * self._best.first_s
        if opened.bound_s >= near_s:
            near_s = max(NEARLY * below_s, near_s)
        near_s *= _ABOVE
        wanted = _Wanted(opened.bound_s, below_s, near_s, turn, splits)
        key = self._key(opened.index, plan)
        known, solved = self._answers.get(key, (None, None))
        if solved is None or known != wanted:
            self._settled += splits
            of = self._typed.get(opened.index) or self._typed_of(opened.index, plan)
            solved = solve(
                self._scenario,
                of,
                opened.bound_s,
                below_s,
                known=self._known,
                turn=turn,
                splits=splits,
                near_s=near_s,
                budget=self._budget,
            )
            if several and turn and not splits:
                solved = replace(solved, open=False)
            self._typed[opened.index] = of
            self._answers[key] = (wanted, solved)
        if not solved.open:
            self._typed.pop(opened.index, None)
        return solved.with_dispatcher(plan.dispatcher)

    def _key(self, index: int, plan: Plan) -> _Key:
        """The same for combinations that cost and hold the same: those that differ in a dispatcher
        of experts which takes as long."""
        if index not in self._keys:
            shard = shard_of(plan)
            row = self._table.shards.index(shard)
            priced = [self._table.priced(row)]
            priced += [one.priced(0) for one in self._typed_tables(shard)]
            self._keys[index] = (replace(plan, dispatcher=None), b"".join(priced))
        return self._keys[index]

    def _typed_of(self, index: int, plan: Plan) -> TypedCombination:
        group, _ = self._combinations.place(index)
        shard = shard_of(plan)
        batch = batch_of_one(plan, self._table.shards.index(shard), group.layout.load)
        shape = (batch.pipeline, batch.virtual_stages, batch.schedule)
        free = group.layout.chosen and kept_layout(self._scenario, *shape) is None
        return TypedCombination.of(
            self._ideal, plan, self._table, batch, self._typed_tables(shard), free=free
        )

    def _close(self, opened: Open, solved: SolvedCombination) -> None:
        """Price the plans of a combination for which nothing more is done."""
        self._price(opened, solved)
        self._closed[opened.index] = opened.bound_s
        if opened.index not in self._offered:
            self._best.give_up(opened.bound_s)

    def _price(self, opened: Open, solved: SolvedCombination) -> None:
        """Price the plans of a solved combination; look for hosts where they may pay."""
        fastest: Priced | None = None
        for one in solved.candidates:
            self._budget.check()
            known_s = min(self._best.slowest_s, inf if fastest is None else fastest.step_s)
            if one.least_s >= known_s or one.plan in self._seen:
                continue
            self._seen.add(one.plan)
            priced = self._placed(opened, one)
            if priced is not None and (fastest is None or priced.step_s < fastest.step_s):
                fastest = priced
        if fastest is not None:
            self._offer(fastest)

    def _offer(self, priced: Priced) -> None:
        self._offered.add(priced.index)
        if priced.step_s < self._best.first_s:
            self._improved = self.refined
        self._best.offer(priced, any_layout=True)

    def _placed(self, opened: Open, one: Candidate) -> Priced | None:
        found = point_estimate(self._scenario, one.plan)
        if not found.memory.fits:
            return None
        self.placed += 1
        placed = PlacedPlan(plan=one.plan, bound_s=opened.bound_s, method=TYPES)
        if found.step_s > one.least_s * (1 + _REACHED):
            placed = self._placements.place(one.plan, one.least_s)
        placed = replace(placed, bound_s=opened.bound_s, method=TYPES)
        return Priced.of(opened.index, placed, estimate(self._scenario, placed.plan))

    def _typed_tables(self, shard: Shard) -> tuple[CostTable, ...]:
        if shard not in self._tables:
            self._tables[shard] = tuple(cost_table(one, [shard]) for one in self._ideal.by_type)
        return self._tables[shard]


SETTLED = 192
"""Turns in which splits of layers over several chunks are looked at."""

SOLVED = 512
"""Most programs of combinations in one search."""

SOME, MANY = 48, 96
"""Programs after which the search ends once no combination that is left can be faster than the best
plan by more than `NEAR_FIRST`, nor than the slowest one kept by more than the gap of those for
which nothing more can be done; after more of them, by more than `NEAR_SLOWEST`."""

NEAR_FIRST, NEAR_SLOWEST = 0.01, 0.02
"""Shares of a step."""

FAR, FAR_SOLVED, _PATIENCE = 0.2, 48, 2
"""Where the bounds of combinations that are left are below the best plan by more than this share of
its step, they prove nothing soon: the search ends after so many programs, if the best plan was
found after no more than half of them."""

AROUND = 8
"""Combinations that are solved for of those with plans by a rule."""

NEARLY = 0.985
"""Share of what is to be beaten up to which splits over several chunks are settled first, once no
combination can be faster than the best plan by more than `NEAR_FIRST`: until then up to that."""

_ABOVE = 1 + 1e-6

_REACHED = 1e-6
"""Share of a step within which it is as fast as its types and layers allow."""
