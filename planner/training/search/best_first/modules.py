"""Combinations with modules computed again and offloaded, so that faster stage layouts fit.

A combination whose layers all stay on the devices, whatever memory that takes, is a lower bound of
the same combination with any choice of modules: recomputation and transfers only add to its passes.
So combinations whose bound reaches the slowest plan to be listed are left alone; of the others,
`OPENED` at most, every choice of modules is a combination of its own
(`planner.training.search.modules.treated`). Those are priced with the default layout in the order
of their bounds, `PRICED` at most, and other layouts are looked for as for all combinations. What is
left then counts in the gap. A choice counts as a plan of the combination that keeps everything,
where one may fit, else of the one that computes layers again.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.errors import PlannerError
from planner.training.batch import FULL, NONE
from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, point_estimate, shard_of, with_confidence
from planner.training.memory.stage import stage_peaks
from planner.training.search.best_first.best import CLOSED, Priced
from planner.training.search.best_first.combinations import plan_at
from planner.training.search.best_first.layouts import LayoutBounds, improve_layouts
from planner.training.search.best_first.module_layouts import TreatedPlans, TreatedWalk
from planner.training.search.bounding.every_layout import LayoutStages, every_layout_s
from planner.training.search.bounding.fitting import batch_of, pieces, shape_of
from planner.training.search.bounding.quick import (
    BELOW,
    LeastWork,
    others_bound_s,
    quick_bound_s,
)
from planner.training.search.bounding.tight import default_layout_s, every_other_layout_s
from planner.training.search.hosts.methods import ALIKE, UNCHANGED, PlacedPlan
from planner.training.search.layouts.problem import kept_layout
from planner.training.search.mixed.speeds import is_mixed
from planner.training.search.modules.choose import fitting_modules
from planner.training.search.modules.treated import TreatedSpace, Untreated
from planner.training.search.plans.problems import check_plan
from planner.training.step.ahead import with_ahead
from planner.training.step.parts import step_parts
from planner.training.step.simulated import slowest_spans
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from planner.budget import Budget, Meter
    from planner.plan import Estimate, Plan
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.best import BestPlans
    from planner.training.search.bounding.fitting import Fitting
    from planner.training.search.layouts.choose import LayoutImprover
    from planner.training.search.modules.treated import Treated
    from planner.training.search.space.restrictions import Restrictions

OPENED = 1536
"""Combinations, smallest bound first, whose choices are bounded."""

AT_ONCE = 32
"""Combinations, smallest bound first, whose choices are bounded and priced before those of others,
which may have become too slow by then. Each time twice as many follow: few bring better plans."""

PRICED = 128
"""Plans with chosen modules that are priced with their default layouts in a search."""


def may_choose_modules(scenario: Scenario, restrictions: Restrictions) -> bool:
    """Whether modules are part of a search: where the framework can name them, nothing the user
    says leaves out a treatment, and all devices are alike."""
    software, settings = scenario.job.software, scenario.job.settings
    tried = software.recompute.tried_modules or software.offload.tried_modules
    free = restrictions.recompute is None and restrictions.activation_offload is None
    return bool(tried) and free and not settings.modules_stated and not is_mixed(scenario.ideal)


def choose_modules(
    scenario: Scenario,
    table: CostTable,
    groups: Sequence[Fitting],
    best: BestPlans,
    improve: LayoutImprover | None,
    *,
    budget: Budget,
    report: Callable[[], None],
) -> LayoutBounds:
    """Offer combinations with chosen modules to the best plans. Returns bounds on those that were
    not priced, with any modules and any stage layout that may be chosen. `table` and the bounds of
    the groups are of the ideal scenario. Raises: OutOfTime."""
    ideal = scenario.ideal
    waiting = _waiting(ideal, table, groups, best.slowest_s, budget)
    waiting = [one for one in waiting if one.bound_s < best.wanted_s(one.combination)]
    unopened = {one.combination: one.bound_s for one in reversed(waiting[OPENED:])}
    _improve_listed(scenario, {one.combination: one.bound_s for one in waiting}, best, budget)
    left, spaces = budget.meter(PRICED), []
    unpriced: dict[int, float] = {}
    for some in _growing(waiting[:OPENED]):
        hopeful = [one for one in some if one.bound_s < best.wanted_s(one.combination)]
        if not hopeful:
            continue
        untreated = _untreated(groups, hopeful)
        space = TreatedSpace.of(ideal, table, untreated, best.wanted_s, budget)
        unpriced = _least(unpriced, _price_default_layouts(scenario, space, best, budget, left))
        spaces.append(space)
    if not spaces:
        return LayoutBounds(of_combination_s=unopened, others_s=inf)
    space = TreatedSpace.joined(spaces).below(best.wanted_s)
    if improve is None or not len(space):
        others_s = float(space.others_s.min(initial=inf))
        return LayoutBounds(of_combination_s=_least(unopened, unpriced), others_s=others_s)
    rest = _improve_layouts(scenario, space, best, improve, budget, report)
    of_combination_s = _least(unopened, unpriced, rest.of_combination_s)
    return LayoutBounds(of_combination_s=of_combination_s, others_s=rest.others_s)


def least_with_modules_s(
    ideal: Scenario, table: CostTable, groups: Sequence[Fitting], budget: Budget
) -> float:
    """No combination takes less with any choice of modules, by its quick bound alone, seconds.
    Raises: OutOfTime."""
    least_s = inf
    for _, kept, rows in _treatable(groups):
        budget.check()
        least_s = min(least_s, float(_quick_s(ideal, table, kept, rows, budget).min(initial=inf)))
    return least_s


def _least(*several: Mapping[int, float]) -> dict[int, float]:
    """The least of the bounds of every combination."""
    least: dict[int, float] = {}
    for bounds_s in several:
        for index, bound_s in bounds_s.items():
            least[index] = min(bound_s, least.get(index, inf))
    return least


class _Waiting(NamedTuple):
    """A combination that may gain by a choice of modules: its bound with everything kept, its
    index, its group and its position in that."""

    bound_s: float
    combination: int
    owner: int
    row: int


def _growing(waiting: Sequence[_Waiting]) -> Iterator[Sequence[_Waiting]]:
    """`AT_ONCE` of them, then twice as many each time."""
    first, size = 0, AT_ONCE
    while first < len(waiting):
        yield waiting[first : first + size]
        first, size = first + size, 2 * size


def _improve_listed(
    scenario: Scenario, bounds_s: Mapping[int, float], best: BestPlans, budget: Budget
) -> None:
    """Choose modules under the stage layouts and on the hosts that listed plans have. `bounds_s`
    by index: those of combinations that may gain."""
    for known in best.kept:
        if known.index in bounds_s:
            found = fitting_modules(scenario, known.plan, budget, below_s=known.step_s)
            if found is not None and found.plan.chooses_modules:
                bound_s = bounds_s[known.index]
                _offer_priced(scenario, found.plan, found.estimate, known.index, bound_s, best)


def _price_default_layouts(
    scenario: Scenario, space: TreatedSpace, best: BestPlans, budget: Budget, left: Meter
) -> dict[int, float]:
    """Price combinations with their default layouts, of which those not priced take no less than
    what is returned, by the index of the combination. Raises: OutOfTime."""
    priced: dict[int, list[Treated]] = {}
    unpriced: dict[int, float] = {}
    bounds_s = space.default_s
    for place in np.argsort(bounds_s, kind="stable").tolist():
        one, bound_s = space.chosen[place], float(bounds_s[place])
        if bound_s >= best.slowest_s:
            break
        if bound_s >= best.wanted_s(one.combination):
            continue
        if any(one.no_faster_than(known) for known in priced.get(one.combination, ())):
            continue
        if left.ended:
            unpriced.setdefault(one.combination, bound_s)
            continue
        budget.check()
        left.spend()
        plan = one.treatment.of(plan_at(scenario, one.group, one.row, 0))
        if _offer(scenario, plan, one.combination, bound_s, best):
            priced.setdefault(one.combination, []).append(one)
    return unpriced


def _improve_layouts(
    scenario: Scenario,
    space: TreatedSpace,
    best: BestPlans,
    improve: LayoutImprover,
    budget: Budget,
    report: Callable[[], None],
) -> LayoutBounds:
    """Look for other layouts of combinations with modules; the bounds of the others, by the index
    of the combination. Raises: OutOfTime when there was no time to try any."""
    plans = TreatedPlans(space=space, best=best)
    others_s = space.others_s

    def offer(index: int, plan: Plan) -> None:
        of = space.chosen[index].combination
        _offer(scenario, plan, of, float(others_s[index]), best)

    bounds = improve_layouts(
        scenario,
        space.table,
        space.groups,
        TreatedWalk(scenario=scenario, space=space, offer=offer),
        plans,
        improve,
        budget=budget,
        report=report,
        priced_as=space.scenario,
    ).settled()
    each = ({space.chosen[i].combination: s} for i, s in bounds.of_combination_s.items())
    left = _least(*each)
    return LayoutBounds(of_combination_s=left, others_s=bounds.others_s)


def _offer(scenario: Scenario, plan: Plan, index: int, bound_s: float, best: BestPlans) -> bool:
    """Price a plan with chosen modules and offer it. Returns whether it can run and fits. Where all
    orders of the hosts are alike, one that is too slow to be kept is not priced any further."""
    try:
        placed = scenario.placed(plan.placement.hosts)
        check_plan(placed, plan)
        running = placed.running(plan)
        table = cost_table(running, [shard_of(plan)])
        load = stage_load(running.model, running.kinds, plan.stages)
        batch = with_ahead(running, table, batch_of_one(plan, 0, load))
        if not stage_peaks(running, table, batch).fits[0]:
            return False
        simulated = slowest_spans(running, table, batch)
        if scenario.ideal is scenario and simulated.step_s * CLOSED >= best.wanted_s(index):
            return True
        found = point_estimate(running, plan, table=table, load=load, simulated=simulated)
    except PlannerError:
        return False
    _offer_priced(scenario, plan, found, index, bound_s, best)
    return True


def _offer_priced(
    scenario: Scenario, plan: Plan, found: Estimate, index: int, bound_s: float, best: BestPlans
) -> None:
    alike = scenario.ideal is scenario
    if alike and found.step_s >= best.wanted_s(index):
        return
    placed = PlacedPlan(
        plan=plan,
        bound_s=found.step_s if alike else bound_s,
        method=ALIKE if alike else UNCHANGED,
    )
    best.offer(Priced.of(index, placed, with_confidence(scenario, plan, found)))


def _waiting(
    ideal: Scenario,
    table: CostTable,
    groups: Sequence[Fitting],
    slowest_s: float,
    budget: Budget,
) -> list[_Waiting]:
    """Combinations that may gain by a choice of modules, smallest bound first."""
    found: list[_Waiting] = []
    indices = _indices(groups)
    for owner, kept, rows in _treatable(groups):
        budget.check()
        rows = rows[_quick_s(ideal, table, kept, rows, budget) < slowest_s]
        if rows.size:
            bounds = choices_bound_s(ideal, table, kept, rows, budget)
            found += [
                _Waiting(bound_s, indices[owner][row], owner, row)
                for row, bound_s in zip(rows.tolist(), bounds.tolist(), strict=True)
                if bound_s < slowest_s
            ]
    return sorted(found)


def _untreated(groups: Sequence[Fitting], waiting: Sequence[_Waiting]) -> list[Untreated]:
    """The combinations by group."""
    found = []
    for owner in sorted({one.owner for one in waiting}):
        of_group = sorted((one.row, one.combination) for one in waiting if one.owner == owner)
        rows, indices = (np.array(column, dtype=np.int64) for column in zip(*of_group, strict=True))
        found.append(Untreated(as_kept(groups[owner]), rows, indices))
    return found


def as_kept(group: Fitting) -> Fitting:
    """The combinations with all that their layers save on the devices."""
    recompute = np.full_like(group.variants["recompute"], NONE)
    return replace(group, variants={**group.variants, "recompute": recompute})


def _treatable(groups: Sequence[Fitting]) -> Iterator[tuple[int, Fitting, NDArray[np.int64]]]:
    """Of every group the combinations whose modules may be chosen: those with layers computed
    again, once for all such treatments; with everything kept."""
    for owner, group in enumerate(groups):
        codes = group.variants
        rows = np.flatnonzero((codes["recompute"] == FULL) & (codes["activation_offload"] == 0))
        if rows.size:
            yield owner, as_kept(group), rows


def _indices(groups: Sequence[Fitting]) -> list[list[int]]:
    """By group and position, the index of the combination that a choice of modules is a plan of:
    that which keeps everything, where there is one, else its own."""
    known: dict[tuple[object, ...], int] = {}
    keys, first = [], 0
    for group in groups:
        codes = group.variants
        others = [codes[axis] for axis in codes if axis != "recompute"]
        of_group = np.stack([group.grid_row, *others], axis=1).astype(np.int64).tolist()
        shape = (id(group.screened), group.virtual_stages, group.schedule)
        keys.append([(*shape, *key) for key in of_group])
        kept = np.flatnonzero(codes["recompute"] == NONE).tolist()
        known |= {keys[-1][row]: first + row for row in kept}
        first += len(group)
    found, first = [], 0
    for group, of_group in zip(groups, keys, strict=True):
        found.append([known.get(key, first + row) for row, key in enumerate(of_group)])
        first += len(group)
    return found


def choices_bound_s(
    ideal: Scenario, table: CostTable, kept: Fitting, rows: NDArray[np.int64], budget: Budget
) -> NDArray[np.float64]:
    """[N]: lower bound in seconds on the step of combinations with every choice of modules and
    every layout, whatever memory these take. Raises: OutOfTime."""
    bounds = []
    for part in pieces(rows, kept.chunks, budget):
        none = np.zeros(len(part), dtype=np.int64)
        batch = batch_of(ideal, kept, part, none)
        parts = step_parts(ideal, table, batch)
        bound_s = default_layout_s(ideal, table, batch, parts)
        if _may_lay_out(ideal, kept, batch):
            stages = LayoutStages.of(ideal, table, batch).roomy
            others_s = every_other_layout_s(ideal, table, kept.layout, batch, parts, none)
            every_s = BELOW * every_layout_s(ideal, table, batch, stages)
            bound_s = np.minimum(bound_s, np.maximum(every_s, others_s))
        bounds.append(bound_s)
    return np.concatenate(bounds)


def _may_lay_out(ideal: Scenario, group: Fitting, batch: Batch) -> bool:
    return group.layout.chosen and kept_layout(ideal, *shape_of(batch)) is None


def _quick_s(
    ideal: Scenario, table: CostTable, kept: Fitting, rows: NDArray[np.int64], budget: Budget
) -> NDArray[np.float64]:
    bounds = []
    for part in pieces(rows, kept.screened.pipeline, budget):
        batch = batch_of(ideal, kept, part, np.zeros(len(part), dtype=np.int64))
        work = LeastWork.of(table, batch, np.zeros(len(part), dtype=np.int64))
        others_s = others_bound_s(ideal, batch, work, kept.layout, np.zeros_like(work.stage_s))
        bounds.append(np.minimum(quick_bound_s(ideal, batch, work), others_s))
    return np.concatenate(bounds)
