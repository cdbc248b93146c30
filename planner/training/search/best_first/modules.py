"""Combinations that do not fit as they are, with modules computed again and offloaded.

A combination whose layers all stay on the devices is a lower bound of the same combination with any
choice of modules: recomputation and transfers only add to its passes. Where it fits, nothing is
gained by such a choice. Where it does not, but fits when all layers are computed again, the fastest
choice of modules is solved for (`planner.training.search.modules`), combination after combination
in the order of these bounds, until the next one reaches the slowest plan to be listed or `CHOSEN`
were solved; what is left then counts in the gap. The stage layout is the one that the combination
has.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import FULL, NONE
from planner.training.estimate import with_confidence
from planner.training.search.best_first.best import Priced
from planner.training.search.best_first.combinations import plan_at
from planner.training.search.bounding.fitting import batch_of, pieces
from planner.training.search.bounding.quick import LeastWork, quick_bound_s
from planner.training.search.bounding.tight import default_layout_s
from planner.training.search.hosts.methods import ALIKE, UNCHANGED, PlacedPlan
from planner.training.search.mixed.speeds import is_mixed
from planner.training.search.modules.choose import fitting_modules
from planner.training.step.parts import step_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.plan import Plan
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.best import BestPlans
    from planner.training.search.bounding.fitting import Fitting
    from planner.training.search.space.restrictions import Restrictions

CHOSEN = 24
"""Combinations whose modules are chosen in a search."""

CHOSEN_WHERE_NEEDED = 64
"""The same where the best plan recomputes or offloads as it is."""

LISTED = 4
"""Of these such as cannot beat the best plan, only the others listed."""


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
    left, listed = budget.meter(_most(best)), budget.meter(LISTED)
    for bound_s, index, owner, row in _waiting(
        scenario.ideal, table, groups, best.slowest_s, budget
    ):
        behind = bound_s >= best.first_s
        if bound_s >= best.slowest_s or left.ended or (behind and listed.ended):
            return bound_s
        budget.check()
        left.spend()
        if behind:
            listed.spend()
        usual = plan_at(scenario, groups[owner], row, 0)
        known = best.of(index)
        _offer(scenario, usual, index, bound_s, best, budget)
        if known is not None and not _same_but_recompute(known.plan, usual):
            _offer(scenario, known.plan, index, bound_s, best, budget)
    return inf


def _same_but_recompute(one: Plan, other: Plan) -> bool:
    return (one.stages, one.placement) == (other.stages, other.placement)


def _most(best: BestPlans) -> int:
    """Combinations whose modules are chosen."""
    if not best.kept:
        return CHOSEN_WHERE_NEEDED
    first = best.kept[0].plan
    settled = first.recompute.granularity == "none" and not first.optimizer_offload
    return CHOSEN if settled else CHOSEN_WHERE_NEEDED


def _offer(
    scenario: Scenario, base: Plan, index: int, bound_s: float, best: BestPlans, budget: Budget
) -> None:
    found = fitting_modules(scenario, base, budget, below_s=best.wanted_s(index))
    if found is None or not found.plan.chooses_modules:
        return
    alike = scenario.ideal is scenario
    placed = PlacedPlan(
        plan=found.plan,
        bound_s=found.estimate.step_s if alike else bound_s,
        method=ALIKE if alike else UNCHANGED,
    )
    sure = with_confidence(scenario, found.plan, found.estimate)
    best.offer(Priced.of(index, placed, sure))


def _waiting(
    ideal: Scenario,
    table: CostTable,
    groups: Sequence[Fitting],
    slowest_s: float,
    budget: Budget,
) -> list[tuple[float, int, int, int]]:
    """Combinations that may gain by a choice of modules, by their bounds: the bound, the index, the
    group, and the position in it."""
    found: list[tuple[float, int, int, int]] = []
    first = 0
    for owner, group in enumerate(groups):
        budget.check()
        rows = _without_room(group)
        if rows.size:
            kept = _as_kept(group)
            rows = rows[_quick_s(ideal, table, kept, rows, budget) < slowest_s]
        if rows.size:
            bounds = _tight_s(ideal, table, kept, rows, budget)
            found += [
                (bound_s, first + row, owner, row)
                for row, bound_s in zip(rows.tolist(), bounds.tolist(), strict=True)
                if bound_s < slowest_s
            ]
        first += len(group)
    return sorted(found)


def _as_kept(group: Fitting) -> Fitting:
    """The combinations with all that their layers save on the devices."""
    recompute = np.full_like(group.variants["recompute"], NONE)
    return replace(group, variants={**group.variants, "recompute": recompute})


def _without_room(group: Fitting) -> NDArray[np.int64]:
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
