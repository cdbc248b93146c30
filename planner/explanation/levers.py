"""What a plan would gain from better hardware, and from one different decision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner.errors import PlannerError
from planner.explanation.hardware import BETTER
from planner.explanation.variations import varied
from planner.plan import GRANULARITIES
from planner.specs.ranges import MOST_SEQUENCES
from planner.training.estimate import point_estimate
from planner.training.scenario import build_scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.plan import Estimate, Plan
    from planner.training.scenario import Scenario

MOST_CHUNKS = 12
"""Virtual stages up to which the next possible number is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """`name`: what changes. `gain`: share of the time per token and device that it saves, below 0
    where it costs time. `step_s`, `fits`: of the plan with the change."""

    name: str
    gain: float
    step_s: float
    fits: bool


def hardware_levers(scenario: Scenario, plan: Plan, estimate: Estimate) -> tuple[Lever, ...]:
    """One for each part of the hardware, 10% better; the largest gain first."""
    found = []
    for name, change, factor in BETTER:
        better = build_scenario(change(scenario.cluster, factor), scenario.model, scenario.job)
        then = point_estimate(better, plan)
        found.append(_lever(f"{name} {factor - 1:+.0%}", estimate, then))
    return _sorted(found)


def plan_levers(scenario: Scenario, plan: Plan, estimate: Estimate) -> tuple[Lever, ...]:
    """One for each decision that can change on its own: recomputation, micro-batch size, virtual
    stages, batch; the largest gain first."""
    found = [
        _lever(name, estimate, point_estimate(other, changed))
        for name, other, changed in _changes(scenario, plan)
    ]
    return _sorted(found)


def _changes(scenario: Scenario, plan: Plan) -> Iterator[tuple[str, Scenario, Plan]]:
    for granularity in GRANULARITIES:
        if granularity != plan.recompute.granularity:
            yield from _change(scenario, plan, f"recompute {granularity}", recompute=granularity)
    for size in (plan.micro_batch_size * 2, plan.micro_batch_size // 2):
        if size:
            yield from _change(scenario, plan, f"micro-batch {size}", micro_batch_size=size)
    if plan.degrees.pipeline > 1:
        for chunks in range(plan.virtual_stages + 1, MOST_CHUNKS + 1):
            schedule = scenario.job.software.schedules.default_for(chunks)
            name = f"{schedule}×{chunks}"
            more = tuple(_change(scenario, plan, name, virtual_stages=chunks, schedule=schedule))
            if more:
                yield more[0]
                break
    job = scenario.job
    if job.global_batch_size * 2 <= MOST_SEQUENCES:
        twice = replace(job, global_batch_size=job.global_batch_size * 2)
        larger = build_scenario(scenario.cluster, scenario.model, twice)
        batch = replace(plan, num_microbatches=plan.num_microbatches * 2)
        yield "twice the global batch, per token", larger, batch


def _change(
    scenario: Scenario, plan: Plan, name: str, **decisions: object
) -> Iterator[tuple[str, Scenario, Plan]]:
    """No lever where the framework does not allow the change."""
    try:
        yield name, scenario, varied(scenario, plan, decisions)
    except PlannerError:
        return


def _lever(name: str, before: Estimate, after: Estimate) -> Lever:
    return Lever(
        name=name,
        gain=1 - before.tokens_per_s_per_device / after.tokens_per_s_per_device,
        step_s=after.step_s,
        fits=after.memory.fits,
    )


def _sorted(levers: list[Lever]) -> tuple[Lever, ...]:
    return tuple(sorted(levers, key=lambda lever: -lever.gain))
