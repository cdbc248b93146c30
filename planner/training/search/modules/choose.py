"""The modules that a plan had better compute again or offload, instead of what it does to fit."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import PlannerError
from planner.training.estimate import point_estimate
from planner.training.search.modules.knapsack import cheapest
from planner.training.search.modules.options import KEEP, TreatedPlan, Treatment
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
    if settled or plan.chooses_modules or scenario.job.settings.modules_stated:
        return None
    found = fitting_modules(scenario, plan, budget)
    if found is None or found.estimate.step_s > known.step_s * (1 - LEAST):
        return None
    return found


def fitting_modules(
    scenario: Scenario, plan: Plan, budget: Budget, *, below_s: float = inf
) -> Change | None:
    """The modules with which the plan fits at the least cost; None where it fits with none, or
    takes `below_s` or longer then. The knapsack takes what modules free as a sum; what it finds is
    worked out in full, and solved again where that lacks memory. Raises: OutOfTime."""
    software = scenario.job.software
    if not (software.recompute.tried_modules or software.offload.tried_modules):
        return None
    scenario = scenario.placed(plan.placement.hosts)
    try:
        treated = TreatedPlan(scenario, plan)
        blocks = treated.blocks()
    except PlannerError:
        return None
    kept = treated.peaks(KEEP)
    lacking = -kept.spare[0]
    host, used = kept.node_capacity, kept.node_bytes
    room = inf if host is None else float(host - (0 if used is None else int(used[0])))
    for _ in range(ROUNDS):
        budget.check()
        chosen = cheapest(blocks.options, lacking, room, blocks.cost_s)
        if chosen is None:
            return None
        treatment = sum(
            (ways[index] for ways, index in zip(blocks.treatments, chosen, strict=True)), KEEP
        )
        found = treated.peaks(treatment)
        if found.fits[0]:
            return _estimated(treated, treatment, below_s)
        lacking = lacking + np.maximum(-found.spare[0], 0)
    return None


def _estimated(treated: TreatedPlan, treatment: Treatment, below_s: float) -> Change | None:
    scenario, plan = treated.scenario, treatment.of(treated.plan)
    try:
        check_plan(scenario, plan)
        if treated.least_s(treatment) >= below_s:
            return None
        found = point_estimate(scenario, plan)
    except PlannerError:
        return None
    return Change(description=treatment.flags, plan=plan, estimate=found)
