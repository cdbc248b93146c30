"""Chooses the best stage layout of one combination, priced as every plan is. The result is never
worse than the default layout, and always fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from planner.budget import UNLIMITED
from planner.stage_layout.neighbours import descend
from planner.stage_layout.problem import price
from planner.stage_layout.threshold import LONGEST, best_layout
from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, shard_of
from planner.training.memory.stage import stage_peaks
from planner.training.search.layouts.bound import beside_pipeline_s
from planner.training.search.layouts.problem import kept_layout, layout_of, plan_with, problem_of
from planner.training.step.ahead import with_ahead
from planner.training.step.simulated import slowest_spans
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.budget import Budget
    from planner.plan import Plan
    from planner.stage_layout.problem import LayoutProblem, Layouts
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario

ATTEMPTS = 4
"""How often capacities are lowered by what a layout lacked before the default layout is kept."""

WORTHWHILE = 1e-6
"""Share of the step by which a layout must be faster than the default to replace it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultStep:
    """What is known of the step of a plan with its default layout: it takes at least `least_s`, and
    no longer where that is `exact`."""

    least_s: float
    exact: bool = False


UNKNOWN = DefaultStep(least_s=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutChoice:
    """The plan with the chosen layout and recomputation, and its step: of a plan that keeps its
    default layout and is too slow to matter, a lower bound on it. `bound_s`: lower bound on the
    step of every layout of the combination; None where no positive bound is known. `kept`: why no
    layout other than the default was tried."""

    plan: Plan
    step_s: float
    bound_s: float | None
    kept: str | None = None

    @property
    def proven(self) -> bool:
        return self.bound_s is not None and self.step_s <= self.bound_s * (1 + WORTHWHILE)


def choose_layout(
    scenario: Scenario,
    plan: Plan,
    *,
    table: CostTable | None = None,
    below_s: float = np.inf,
    default: DefaultStep = UNKNOWN,
    budget: Budget = UNLIMITED,
) -> LayoutChoice:
    """The best layout found for the combination of a plan that has its default layout, provided
    that some layout may have a step below `below_s`. `default`: what is known of the plan's own
    step, which need not be simulated again where that is enough to decide.

    With one chunk per stage the result is the exact optimum of `stage_bounds.rows_s`. With several
    chunks it is the best layout that moving layers between chunks reaches under simulation, also
    between those of one stage. Both are then priced in full.

    Raises: OutOfTime.
    """
    placed = scenario.running(plan)
    if placed is not scenario:
        scenario, table = placed, None
    table = table or cost_table(scenario, [shard_of(plan)])
    pricing = _Pricing(scenario, table)
    kept = kept_layout(scenario, plan.degrees.pipeline, plan.virtual_stages, plan.schedule)
    if kept is not None:
        step_s = pricing.default_s(plan, default, below_s)
        return LayoutChoice(plan=plan, step_s=step_s, bound_s=None, kept=kept)
    batch = pricing.batch(plan)
    problem = problem_of(scenario, table, batch, plan)
    bound_s = None
    candidate: Layouts | None = None
    if problem.virtual_stages == 1:
        beside_s = float(beside_pipeline_s(scenario, table, batch)[0])
        roomy = best_layout(
            _without_limit(problem), below_s=min(below_s - beside_s, LONGEST), budget=budget
        )
        bound_s = below_s if roomy is None else roomy.rows_s + beside_s
        candidate = None if roomy is None else roomy.layout
    default_s = pricing.default_s(plan, default, max(below_s, bound_s or 0.0))
    if bound_s is not None and bound_s >= min(below_s, default_s):
        return LayoutChoice(plan=plan, step_s=default_s, bound_s=min(bound_s, default_s))
    best, best_s = plan, default_s if (pricing.lacking(plan) <= 0).all() else np.inf
    for _ in range(ATTEMPTS):
        candidate = candidate or _solve(problem, layout_of(plan, problem), budget)
        if candidate is None:
            break
        found = plan_with(plan, problem, candidate)
        if found.stages == plan.stages:
            break
        lacking = pricing.lacking(found)
        if (lacking <= 0).all():
            step_s = pricing.step_s(found)
            if step_s < best_s * (1 - WORTHWHILE):
                best, best_s = found, step_s
            break
        at_candidate = price(problem, candidate).peak_bytes[0]
        short = at_candidate + np.maximum(lacking, 0) - problem.capacity_bytes
        problem = replace(problem, fixed_bytes=problem.fixed_bytes + np.maximum(short, 0))
        candidate = None
    return LayoutChoice(plan=best, step_s=default_s if best is plan else best_s, bound_s=bound_s)


def _without_limit(problem: LayoutProblem) -> LayoutProblem:
    """The problem with unlimited memory, where no stage recomputes more than the least."""
    endless = np.full(problem.stages, np.inf)
    return replace(problem, capacity_bytes=endless, patterns=problem.patterns[:1])


def _solve(problem: LayoutProblem, start: Layouts, budget: Budget) -> Layouts | None:
    if problem.virtual_stages == 1:
        found = best_layout(problem, budget=budget)
        return None if found is None else found.layout
    return descend(problem, start, budget)


class LayoutImprover(Protocol):
    """The layout chooser that refinement calls for a combination: `choose_layout`."""

    def __call__(
        self,
        scenario: Scenario,
        plan: Plan,
        *,
        table: CostTable | None,
        below_s: float,
        default: DefaultStep,
        budget: Budget,
    ) -> LayoutChoice: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Pricing:
    """Plans of one scenario, priced as `planner.training.estimate` does."""

    scenario: Scenario
    table: CostTable

    def batch(self, plan: Plan) -> Batch:
        load = stage_load(self.scenario.model, self.scenario.kinds, plan.stages)
        batch = batch_of_one(plan, self.table.shards.index(shard_of(plan)), load)
        return with_ahead(self.scenario, self.table, batch)

    def step_s(self, plan: Plan) -> float:
        return slowest_spans(self.scenario, self.table, self.batch(plan)).step_s

    def default_s(self, plan: Plan, default: DefaultStep, matters_s: float) -> float:
        """Seconds of the default layout; a lower bound on them where that is clearly above
        `matters_s`, from which on no choice depends on more."""
        if default.exact or default.least_s > matters_s * (1 + 2 * WORTHWHILE):
            return default.least_s
        return self.step_s(plan)

    def lacking(self, plan: Plan) -> Floats:
        """[p]: bytes that each stage lacks; negative where there is room."""
        peaks = stage_peaks(self.scenario, self.table, self.batch(plan))
        return np.asarray(-peaks.spare[0], dtype=np.float64)
