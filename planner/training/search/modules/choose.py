"""The modules that a plan had better compute again or offload, instead of what it does to fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.errors import PlannerError
from planner.training.estimate import point_estimate
from planner.training.search.modules.knapsack import cheapest
from planner.training.search.modules.options import KEEP, Treatment, blocks_of, with_treatment
from planner.training.search.plans.problems import check_plan
from planner.training.search.result import Change

if TYPE_CHECKING:
    from planner.budget import Budget
    from planner.plan import Estimate, Plan
    from planner.training.scenario import Scenario

ROUNDS = 4
"""Times that memory which an estimate lacks all the same is added to what is to be freed."""

LEAST = 0.005
"""Smallest share of a step worth a sentence."""


def better_modules(
    scenario: Scenario, plan: Plan, known: Estimate, budget: Budget
) -> Change | None:
    """The choice of modules with which a plan that recomputes or offloads layers is faster; None
    where there is none, or what the user or the framework says leaves no choice. Raises:
    OutOfTime."""
    settled = plan.recompute.granularity == "none" and not plan.activation_offload
    if settled or scenario.job.settings.modules_stated:
        return None
    found = fitting_modules(scenario, plan, budget)
    if found is None or found.estimate.step_s > known.step_s * (1 - LEAST):
        return None
    return found


def fitting_modules(scenario: Scenario, plan: Plan, budget: Budget) -> Change | None:
    """The modules with which the plan fits at the least cost; None where it fits with none. The
    knapsack takes what modules free as a sum; what it finds is estimated in full, and solved again
    where that lacks memory. Raises: OutOfTime."""
    software = scenario.job.software
    if not (software.recompute.tried_modules or software.offload.tried_modules):
        return None
    try:
        kept = point_estimate(scenario, KEEP.of(plan))
        blocks = blocks_of(scenario, plan)
    except PlannerError:
        return None
    lacking = -np.array([stage.spare_bytes for stage in kept.memory.per_stage])
    host = scenario.host.node_bytes
    used = 0 if kept.memory.host is None else kept.memory.host.peak_bytes
    room = np.inf if host is None else float(host - used)
    for _ in range(ROUNDS):
        budget.check()
        chosen = cheapest(blocks.options, lacking, room, blocks.cost_s)
        if chosen is None:
            return None
        treatment = sum(
            (ways[index] for ways, index in zip(blocks.treatments, chosen, strict=True)), KEEP
        )
        found = _estimated(scenario, plan, treatment)
        if found is None or found.estimate.memory.fits:
            return found
        spare = np.array([stage.spare_bytes for stage in found.estimate.memory.per_stage])
        lacking = lacking + np.maximum(-spare, 0)
    return None


def _estimated(scenario: Scenario, plan: Plan, treatment: Treatment) -> Change | None:
    changed, treated = with_treatment(scenario, treatment), treatment.of(plan)
    try:
        check_plan(changed, treated)
        found = point_estimate(changed, treated)
    except PlannerError:
        return None
    return Change(description=treatment.flags, plan=treated, estimate=found)
