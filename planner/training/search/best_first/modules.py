"""Combinations that do not fit as they are, with modules computed again and offloaded.

A combination whose layers all stay on the devices is a lower bound of the same combination with any
choice of modules: recomputation and transfers only add to its passes. Where it fits, nothing is
gained by such a choice. Where it does not, but fits when all layers are computed again, every
choice of modules that fits is bounded (`planner.training.search.modules.bounds`), for `OPENED`
combinations at most. The plans are priced in the order of these bounds, until the next one reaches
the slowest plan to be listed or `PRICED` were; what is left then counts in the gap. The stage
layout is the one that the combination has.
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
from planner.training.search.bounding.fitting import batch_of, pieces
from planner.training.search.bounding.quick import LeastWork, quick_bound_s
from planner.training.search.bounding.tight import default_layout_s
from planner.training.search.hosts.methods import ALIKE, UNCHANGED, PlacedPlan
from planner.training.search.mixed.speeds import is_mixed
from planner.training.search.modules.bounds import bounded_choices
from planner.training.search.modules.choose import fitting_modules
from planner.training.search.plans.problems import check_plan
from planner.training.step.ahead import with_ahead
from planner.training.step.parts import step_parts
from planner.training.step.simulated import slowest_spans
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.plan import Estimate, Plan
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.best import BestPlans
    from planner.training.search.bounding.fitting import Fitting
    from planner.training.search.modules.bounds import BoundedChoice
    from planner.training.search.space.restrictions import Restrictions

OPENED = 1536
"""Combinations, smallest bound first, whose choices are bounded."""

PRICED = 128
"""Plans with chosen modules that are priced in a search."""


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
    *,
    budget: Budget,
) -> float:
    """Offer combinations with chosen modules to the best plans, each with the stage layout that it
    has. No combination left out takes less than what is returned, seconds, with any modules.
    `table` and the bounds of the groups are of the ideal scenario. Raises: OutOfTime."""
    ideal = scenario.ideal
    waiting = _waiting(ideal, table, groups, best.slowest_s, budget)
    _improve_listed(scenario, {one.combination: one.bound_s for one in waiting}, best, budget)
    rest_s = min((one.bound_s for one in waiting[OPENED:]), default=inf)
    left = budget.meter(PRICED)
    priced: dict[int, list[BoundedChoice]] = {}
    opened = waiting[:OPENED]
    for index, owner, choice in _choices(ideal, table, groups, opened, best.slowest_s, budget):
        if choice.bound_s >= min(rest_s, best.slowest_s):
            break
        if choice.bound_s >= best.wanted_s(index):
            continue
        if any(choice.no_faster_than(one) for one in priced.get(index, ())):
            continue
        if left.ended:
            return choice.bound_s
        budget.check()
        left.spend()
        usual = plan_at(scenario, groups[owner], choice.row, 0)
        if _offer(scenario, choice.treatment.of(usual), index, choice.bound_s, best):
            priced.setdefault(index, []).append(choice)
    return rest_s


def least_with_modules_s(
    ideal: Scenario, table: CostTable, groups: Sequence[Fitting], budget: Budget
) -> float:
    """No combination takes less with any choice of modules, by its quick bound alone, seconds.
    Raises: OutOfTime."""
    least_s = inf
    for group in groups:
        budget.check()
        rows = without_room(group)
        if rows.size:
            least_s = min(
                least_s, float(_quick_s(ideal, table, as_kept(group), rows, budget).min())
            )
    return least_s


class _Waiting(NamedTuple):
    """A combination that may gain by a choice of modules: its bound with everything kept, its
    index, its group and its position in that."""

    bound_s: float
    combination: int
    owner: int
    row: int


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


def _choices(
    ideal: Scenario,
    table: CostTable,
    groups: Sequence[Fitting],
    opened: Sequence[_Waiting],
    below_s: float,
    budget: Budget,
) -> list[tuple[int, int, BoundedChoice]]:
    """The choices with which combinations may fit in less than `below_s`, smallest bound first,
    with the index and the group of the combination. Raises: OutOfTime."""
    found: list[tuple[int, int, BoundedChoice]] = []
    for owner in sorted({one.owner for one in opened}):
        index = {one.row: one.combination for one in opened if one.owner == owner}
        kept, rows = as_kept(groups[owner]), np.array(sorted(index), dtype=np.int64)
        choices = bounded_choices(ideal, table, kept, rows, below_s, budget)
        found += [(index[choice.row], owner, choice) for choice in choices]
    return sorted(found, key=lambda one: (one[2].bound_s, one[0]))


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
    first = 0
    for owner, group in enumerate(groups):
        budget.check()
        rows = without_room(group)
        if rows.size:
            kept = as_kept(group)
            rows = rows[_quick_s(ideal, table, kept, rows, budget) < slowest_s]
        if rows.size:
            bounds = _tight_s(ideal, table, kept, rows, budget)
            found += [
                _Waiting(bound_s, first + row, owner, row)
                for row, bound_s in zip(rows.tolist(), bounds.tolist(), strict=True)
                if bound_s < slowest_s
            ]
        first += len(group)
    return sorted(found)


def as_kept(group: Fitting) -> Fitting:
    """The combinations with all that their layers save on the devices."""
    recompute = np.full_like(group.variants["recompute"], NONE)
    return replace(group, variants={**group.variants, "recompute": recompute})


def without_room(group: Fitting) -> NDArray[np.int64]:
    """Positions of combinations that fit when layers are computed again, and not without."""
    codes = group.variants
    others = [codes[axis] for axis in codes if axis != "recompute"]
    keys = np.stack([group.grid_row, *others], axis=1).astype(np.int64)
    roomy = {tuple(key) for key in keys[codes["recompute"] == NONE].tolist()}
    again = (codes["recompute"] == FULL) & (codes["activation_offload"] == 0)
    return np.array(
        [row for row in np.flatnonzero(again).tolist() if tuple(keys[row].tolist()) not in roomy],
        dtype=np.int64,
    )


def _tight_s(
    ideal: Scenario, table: CostTable, kept: Fitting, rows: NDArray[np.int64], budget: Budget
) -> NDArray[np.float64]:
    bounds = []
    for part in pieces(rows, kept.chunks, budget):
        batch = batch_of(ideal, kept, part, np.zeros(len(part), dtype=np.int64))
        bounds.append(default_layout_s(ideal, table, batch, step_parts(ideal, table, batch)))
    return np.concatenate(bounds)


def _quick_s(
    ideal: Scenario, table: CostTable, kept: Fitting, rows: NDArray[np.int64], budget: Budget
) -> NDArray[np.float64]:
    bounds = []
    for part in pieces(rows, kept.screened.pipeline, budget):
        batch = batch_of(ideal, kept, part, np.zeros(len(part), dtype=np.int64))
        work = LeastWork.of(table, batch, np.zeros(len(part), dtype=np.int64))
        bounds.append(quick_bound_s(ideal, batch, work))
    return np.concatenate(bounds)
