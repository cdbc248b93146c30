"""What the switches of a software profile are worth to a plan: communication hidden or not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.errors import PlannerError
from planner.schedule.registry import kind_of
from planner.training.estimate import point_estimate
from planner.training.search.result import SwitchWorth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.budget import Budget
    from planner.plan import Plan, RankedPlan
    from planner.training.scenario import Scenario

LEAST = 0.005
"""Smallest share of a step worth a sentence."""


def worth_of_switches(
    scenario: Scenario, best: RankedPlan, budget: Budget
) -> tuple[SwitchWorth, ...]:
    """Of the overlaps that the profile's framework can switch, those that change the step of a
    plan, the largest change first. Raises: OutOfTime."""
    software, plan = scenario.job.software, best.plan
    found = []
    for names in _switchable(scenario, plan):
        budget.check()
        on = set(names) <= set(software.overlap)
        others = [name for name in software.overlap if name not in names]
        overlap = tuple(others if on else (*others, *names))
        switched = software.model_copy(update={"overlap": overlap})
        job = replace(scenario.job, software=switched)
        try:
            step_s = point_estimate(replace(scenario, job=job), plan).step_s
        except PlannerError:
            continue
        with_s, without_s = (best.estimate.step_s, step_s) if on else (step_s, best.estimate.step_s)
        if abs(1 - with_s / without_s) >= LEAST:
            found.append(SwitchWorth(overlap=names, on=on, share=with_s / without_s - 1))
    return tuple(sorted(found, key=lambda one: one.share))


def _sends_beside_shared(scenario: Scenario, plan: Plan) -> bool:
    """Whether shared experts could run beside the plan's exchanges."""
    moe = scenario.model.moe
    exchanged = plan.dispatcher not in (None, "allgather") and not plan.expert_overlap
    return moe is not None and bool(moe.shared_expert_ffn_hidden_size) and exchanged


def _switchable(scenario: Scenario, plan: Plan) -> Iterator[tuple[str, ...]]:
    """Overlaps of what the plan has, those together that frameworks switch together."""
    software, degrees = scenario.job.software, plan.degrees
    data = [
        *(["gradient_reduce"] if degrees.data * degrees.context > 1 else []),
        *(["parameter_gather"] if plan.data_sharding != "none" else []),
    ]
    divided = plan.sequence_parallel or not software.tensor_overlap_needs_sequence_parallel
    divided &= scenario.job.precision not in software.tensor_overlap_excludes
    possible = (
        tuple(data),
        ("tensor",) if degrees.tensor > 1 and divided else (),
        ("pipeline",) if kind_of(plan.schedule).sends_may_overlap else (),
        ("shared_expert",) if _sends_beside_shared(scenario, plan) else (),
    )
    for names in possible:
        if names and set(names) <= set(software.overlap_choices):
            yield names
