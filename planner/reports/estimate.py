"""The report of one plan: does it fit, how fast is it, where time and memory go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from planner.reports.breakdown import memory_table, time_table
from planner.reports.hosts import device_groups
from planner.reports.job import job_line
from planner.reports.layout import bullets, heading, paragraph
from planner.reports.lifetime import lifetime
from planner.reports.sentences import binding, bound_by, headline, plan_answer, ranges
from planner.wording.binding import host_constraint, memory_constraint
from planner.wording.labels import (
    data_sharding,
    experts,
    offloading,
    on_off,
    one_line,
    stage_layers,
)
from planner.wording.units import capacity, plural

if TYPE_CHECKING:
    from rich.console import RenderableType

    from planner.plan import Estimate, Plan
    from planner.plan_document import RecordedInputs


def estimate_report(inputs: RecordedInputs, plan: Plan, estimate: Estimate) -> RenderableType:
    sizes = sorted({stage.capacity_bytes for stage in estimate.memory.per_stage})
    of = " or ".join(capacity(size) for size in sizes)
    return Group(
        paragraph(fit_verdict(plan, estimate), style="bold"),
        paragraph(ranges(estimate)),
        *(paragraph(text) for text in lifetime(estimate)),
        paragraph(job_line(inputs, plan)),
        paragraph(decisions(plan)),
        *_device_groups(plan, estimate),
        heading("Time of one step"),
        time_table(estimate.time),
        paragraph(bound_by(estimate)),
        heading(f"Memory of one device, GiB of {of}"),
        memory_table(plan, estimate.memory),
        paragraph(binding(estimate)),
        *_host(estimate),
        heading("Assumptions"),
        bullets((*inputs.assumptions, *estimate.assumptions)),
    )


def _host(estimate: Estimate) -> list[RenderableType]:
    host = estimate.memory.host
    return [] if host is None else [paragraph(f"Offloaded: {host_constraint(host)}.")]


def fit_verdict(plan: Plan, estimate: Estimate) -> str:
    """The first line: the figures of a plan that fits, what is missing for one that does not."""
    tight = estimate.fit_class == "tight"
    if estimate.memory.fits:
        return headline("Fits tightly," if tight else "Fits,", plan, estimate)
    word = "Does not fit, by less than the error" if tight else "Does not fit"
    return f"{word}: {memory_constraint(estimate.memory)}. {plan_answer(plan, estimate)}"


def _device_groups(plan: Plan, estimate: Estimate) -> list[RenderableType]:
    groups = device_groups(plan, estimate)
    return [paragraph(f"Device types: {groups}.")] if groups else []


def decisions(plan: Plan) -> str:
    return (
        f"{one_line(plan)}; {plural(plan.num_microbatches, 'microbatch', 'es')}, "
        f"data sharding {data_sharding(plan)}, sequence parallel {on_off(plan.sequence_parallel)}"
        f"{experts(plan)}; "
        f"layers per stage {stage_layers(plan)}{_offloaded(plan)}"
    )


def _offloaded(plan: Plan) -> str:
    said = offloading(plan)
    return "" if said == "none" else f"; offloaded {said}"
