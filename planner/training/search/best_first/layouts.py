"""Stage layouts other than the default, for the combinations that may gain most by one.

What a combination promises is its tight bound with the default layout, times what its busiest
stage would have to do of what it does: the share of perfect balance, or the least that a stage has
with one layer more, since any other layout gives some stage one. Layouts are solved for, most
promising first, until none promises to be about as fast as the best plan or `SOLVED` were. What the
others may gain at most is known from bounds that hold for all layouts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.arrays import distinct
from planner.budget import OutOfTime
from planner.schedule.registry import kind_of
from planner.training.batch import OUTER_KINDS
from planner.training.search.best_first.programs import LayoutPrograms, Unsolved
from planner.training.search.best_first.spreads import KnownStages, Spreads
from planner.training.search.bounding.every_layout import LayoutStages, every_layout_s
from planner.training.search.bounding.fitting import batch_of
from planner.training.search.bounding.quick import BELOW
from planner.training.search.bounding.tight import tight_bounds
from planner.training.search.layouts.choose import DefaultStep
from planner.training.step.passes import chunk_passes, stage_layer_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.best import BestPlans
    from planner.training.search.best_first.layout_walk import KnownPlans, LayoutWalk
    from planner.training.search.bounding.fitting import Fitting
    from planner.training.search.layouts.choose import LayoutImprover

SOLVED = 64
"""Layouts solved for in one search."""

PROMISING = 1.02
"""Multiple of the best plan's step up to which a combination may promise a layout worth a try."""

OPENED = 2048
"""Combinations, smallest bound first, whose bounds are tightened to find the promising ones."""

MOST_OPENED = 16 * OPENED
"""The same where none of those before was promising."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutBounds:
    """Lower bounds in seconds on steps with layouts that were not priced: `of_combination_s` by
    the index of a combination, `others_s` of the combinations that are not in it. `tried`: how many
    combinations had layouts that might change the best plans."""

    of_combination_s: Mapping[int, float]
    others_s: float
    tried: int = 0
    spreads: Spreads | None = None

    def settled(self) -> LayoutBounds:
        """With the bounds that decide the gap raised by simulations."""
        if self.spreads is None:
            return self
        return replace(self, of_combination_s=self.spreads.settled(self.of_combination_s))

    def on_links(self, anywhere_s: Callable[[int], float], below_s: float) -> LayoutBounds:
        """With the bounds that decide the gap raised by what links take under every layout of a
        combination, `anywhere_s` by its index, as far as they are less than `below_s`."""
        bounds_s = dict(self.of_combination_s)
        queue = [(bound_s, False, index) for index, bound_s in bounds_s.items()]
        heapify(queue)
        while queue and queue[0][0] < below_s and not queue[0][1]:
            bound_s, _, index = heappop(queue)
            bounds_s[index] = max(bound_s, anywhere_s(index))
            heappush(queue, (bounds_s[index], True, index))
        return replace(self, of_combination_s=bounds_s)

    @property
    def least_s(self) -> float:
        """Seconds that no such layout takes less than."""
        return min((self.others_s, *self.of_combination_s.values()))

    def gap(self, best: BestPlans, slowest_s: float) -> float:
        """The share by which such a layout may be faster than the plan of its combination, or than
        the slowest plan listed where none of its combination is."""
        gaps = [
            1 - bound_s / (slowest_s if known is None else min(known.step_s, slowest_s))
            for index, bound_s in self.of_combination_s.items()
            for known in (best.of(index),)
        ]
        return max(0.0, 1 - self.others_s / slowest_s, *gaps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Opened:
    """Combinations by position in the search, with their tight bounds, `default_s` under the
    default layout, and recomputed layers."""

    index: NDArray[np.int64]
    default_s: NDArray[np.float64]
    promise_s: NDArray[np.float64]
    others_s: NDArray[np.float64]
    layers: NDArray[np.int64]

    def unsolved(self, wanted: NDArray[np.bool_], bounds_s: NDArray[np.float64]) -> list[Unsolved]:
        """The combinations wanted, with these bounds."""
        columns = (bounds_s, self.index, self.layers)
        rows = zip(*(column[wanted].tolist() for column in columns), strict=True)
        return [Unsolved(*row) for row in rows]


def improve_layouts(
    scenario: Scenario,
    table: CostTable,
    groups: Sequence[Fitting],
    walk: LayoutWalk,
    best: KnownPlans,
    improve: LayoutImprover,
    *,
    budget: Budget,
    report: Callable[[], None],
    priced_as: Scenario | None = None,
) -> LayoutBounds:
    """Give combinations better layouts. `table` and the bounds of the groups are of `priced_as`,
    else of the ideal scenario; `report` is called before each layout is solved for.

    Raises: OutOfTime when there was no time to try any.
    """
    ideal = priced_as or scenario.ideal
    opened, unopened_s = _opened(ideal, table, groups, walk, best.slowest_s, budget)
    exact = _has_program(groups, opened.index)
    usual = np.isfinite(_of_groups(groups, "bound_s")[opened.index])
    wanted = opened.others_s < best.slowest_s
    bounds_s, known = _every_layout(ideal, table, groups, opened, wanted)
    programs = LayoutPrograms(scenario, ideal, table, walk, best, budget)
    rest_s = programs.solve(opened.unsolved(wanted & exact, bounds_s), report)
    spreads = Spreads(
        scenario=ideal,
        table=table,
        groups=groups,
        best=best,
        solver=programs.solver,
        budget=budget,
        indices=opened.index,
        layers=opened.layers,
        known=known,
    )
    # Of those with a layout that fits, few are tried: the gap is hardly less than what they leave.
    unpromising = usual & ~exact & (opened.promise_s >= best.first_s * PROMISING)
    until_s = float(bounds_s[unpromising].min(initial=best.slowest_s))
    bounds_s = spreads.raised(~exact & wanted, bounds_s)
    elsewhere, loops = ~usual & ~exact & wanted, _in_loops(groups, opened.index)
    rest_s |= {one.index: one.bound_s for one in opened.unsolved(elsewhere & ~loops, bounds_s)}
    several = opened.unsolved(elsewhere & loops, bounds_s)
    rest_s |= programs.solve_several(several, until_s, report)
    # What is tried depends on the best plan alone, so that it is found whatever number of plans
    # is asked for.
    turn = np.lexsort((opened.promise_s, bounds_s >= best.first_s))
    left = budget.meter(SOLVED)
    for place in turn[(usual & ~exact)[turn]].tolist():
        index, least_s = int(opened.index[place]), float(bounds_s[place])
        kept_s = best.slowest_s
        if least_s >= kept_s:
            continue
        if left.ended or opened.promise_s[place] >= best.first_s * PROMISING:
            rest_s[index] = least_s
            continue
        report()
        plan = walk.plan(index, int(opened.layers[place]))
        priced = table if ideal is scenario else None
        bounded = DefaultStep(least_s=float(opened.default_s[place]))
        default = walk.default_step(index) or bounded
        try:
            choice = improve(
                scenario, plan, table=priced, below_s=kept_s, default=default, budget=budget
            )
            left.spend()
            if choice.plan.stages != plan.stages and choice.step_s < kept_s:
                walk.replace(index, choice.plan)
        except OutOfTime:
            rest_s[index] = least_s
            continue
        if not choice.proven:
            rest_s[index] = max(least_s, choice.bound_s or 0.0)
    return LayoutBounds(
        of_combination_s=rest_s, others_s=unopened_s, tried=int(wanted.sum()), spreads=spreads
    )


def _has_program(groups: Sequence[Fitting], indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the combinations are solved exactly: those with one chunk per stage and an order
    that depends on no times."""
    exact = [
        group.virtual_stages == 1 and not kind_of(group.schedule).runs_ahead for group in groups
    ]
    return np.array(exact, dtype=np.bool_)[_owners(groups, indices)]


def _in_loops(groups: Sequence[Fitting], indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the combinations send every microbatch through all stages again and again."""
    loops = [kind_of(group.schedule).runs_in_groups for group in groups]
    return np.array(loops, dtype=np.bool_)[_owners(groups, indices)]


def _of_groups(groups: Sequence[Fitting], name: str) -> NDArray[Any]:
    """A column of all combinations, by index."""
    return np.concatenate([np.zeros(0), *(getattr(group, name) for group in groups)])


def _owners(groups: Sequence[Fitting], indices: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(_first(groups), indices, side="right") - 1


def _first(groups: Sequence[Fitting]) -> NDArray[np.int64]:
    """[groups + 1]: the index of the first combination of every group, and how many there are."""
    return np.cumsum([0, *map(len, groups)])


def _every_layout(
    scenario: Scenario,
    table: CostTable,
    groups: Sequence[Fitting],
    opened: _Opened,
    wanted: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], dict[int, KnownStages]]:
    """Bounds over all layouts that fit, tight for the combinations wanted, and what is known of
    their stages, by group."""
    bounds, owners = opened.others_s.copy(), _owners(groups, opened.index)
    known: dict[int, KnownStages] = {}
    for owner in distinct(owners[wanted]).tolist():
        at = wanted & (owners == owner)
        which = opened.index[at] - _first(groups)[owner]
        batch = batch_of(scenario, groups[owner], which, opened.layers[at])
        stages = LayoutStages.of(scenario, table, batch)
        known[owner] = KnownStages(np.flatnonzero(at), stages)
        bounds[at] = BELOW * every_layout_s(scenario, table, batch, stages)
        if groups[owner].virtual_stages == 1:
            bounds[at] = np.maximum(bounds[at], opened.others_s[at])
    return bounds, known


def _opened(
    ideal: Scenario,
    table: CostTable,
    groups: Sequence[Fitting],
    walk: LayoutWalk,
    below_s: float,
    budget: Budget,
) -> tuple[_Opened, float]:
    """The combinations with the smallest quick bounds below `below_s`; as many again as long as the
    tight bounds of all of them are larger. No other takes less than the seconds returned. Raises:
    OutOfTime."""
    quick_s = _of_groups(groups, "others_s")
    promising = np.flatnonzero(quick_s < below_s)
    order = promising[np.argsort(quick_s[promising], kind="stable")]
    opened = _open(ideal, table, groups, np.sort(order[:OPENED]), walk, budget)
    end = OPENED
    while end < min(len(order), MOST_OPENED) and (opened.others_s >= below_s).all():
        budget.check()
        opened = _open(ideal, table, groups, np.sort(order[end : end + OPENED]), walk, budget)
        end += OPENED
    return opened, float(quick_s[order[end]]) if len(order) > end else np.inf


def _open(
    scenario: Scenario,
    table: CostTable,
    groups: Sequence[Fitting],
    indices: NDArray[np.int64],
    walk: LayoutWalk,
    budget: Budget,
) -> _Opened:
    first, owners = _first(groups), _owners(groups, indices)
    default, promise, others = (np.empty(len(indices)) for _ in range(3))
    layers = walk.recomputed_layers(indices)
    elsewhere = ~np.isfinite(_of_groups(groups, "bound_s")[indices])
    layers[elsewhere] = 1
    for owner in distinct(owners).tolist():
        at = owners == owner
        group, which = groups[owner], indices[at] - first[owner]
        tight = tight_bounds(scenario, table, group, which, layers[at], budget)
        layers[at], default[at] = tight.layers, tight.default_s
        others[at] = np.maximum(tight.others_s, group.others_s[which])
        left = _left_to_busiest(scenario, table, group, which, tight.layers)
        promise[at] = tight.default_s * left
    return _Opened(
        index=indices, default_s=default, promise_s=promise, others_s=others, layers=layers
    )


def _left_to_busiest(
    scenario: Scenario,
    table: CostTable,
    group: Fitting,
    which: NDArray[np.int64],
    recomputed_layers: NDArray[np.int64],
) -> NDArray[np.float64]:
    """[N]: share of its work that the busiest stage would keep under a better layout."""
    batch = batch_of(scenario, group, which, recomputed_layers)
    passes = chunk_passes(scenario, table, batch)
    stage_s = (passes.forward_s + passes.backward_s).sum(axis=-1)
    counts = batch.load.counts.sum(axis=1)
    layers = np.maximum(counts[:, :-OUTER_KINDS].sum(axis=-1), 1)
    seconds = stage_layer_s(
        scenario, table, batch, (table.forward_s + table.backward_s).sum(axis=0)
    )
    ends_s = (seconds[..., -OUTER_KINDS:] * counts[:, -OUTER_KINDS:]).sum(axis=-1)
    layer_s = (stage_s - ends_s) / layers
    balanced_s = (layers.sum() + (ends_s / layer_s).sum(axis=-1)) / (1 / layer_s).sum(axis=-1)
    one_more_s = (stage_s + layer_s).min(axis=-1)
    left: NDArray[np.float64] = np.maximum(balanced_s, one_more_s) / stage_s.max(axis=-1)
    return left
