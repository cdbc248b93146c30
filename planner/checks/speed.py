"""PL3: is the plan as fast as it could be, and what slows it down?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.training.confidence.interval import tied
from planner.training.estimate import estimate
from planner.wording.labels import one_line
from planner.wording.ranges import seconds_between
from planner.wording.units import percent, plural, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.checks.finding import Finding
    from planner.checks.subject import Subject
    from planner.plan import Estimate, RankedPlan
    from planner.specs.device import Precision

ROUNDING = 1e-9
"""Of step times; a plan exactly at a limit passes."""

GIGA = 1e9

HALF: tuple[Precision, ...] = ("bf16", "fp16")
"""The usual number formats of training, the safer first."""


def distance_findings(
    subject: Subject, cost: Estimate, best: RankedPlan, *, within: float
) -> Iterator[Finding]:
    """Whether the step takes more than `within` (0.1 is 10 %) longer than the best plan's."""
    slower = cost.step_s / best.estimate.step_s - 1
    if slower <= within + ROUNDING:
        return
    tie = "; the two are too close to tell" if tied(cost.step_s, best.estimate.step_s) else ""
    yield subject.finding(
        "PL301",
        ("degrees",),
        f"takes {seconds(cost.step_s)}/step{seconds_between(cost)}, {percent(slower)} more "
        f"than the best found ({seconds(best.estimate.step_s)}); {percent(within)} is allowed{tie}",
        hint=f"the best found is {one_line(best.plan)}",
    )


def imbalance_findings(subject: Subject, cost: Estimate, *, at_most: float) -> Iterator[Finding]:
    """Whether the slowest stage is busy more than `at_most` longer than the stages are on
    average."""
    if subject.plan.degrees.pipeline == 1:
        return
    detail = cost.time_detail
    slowest_s, mean_s = detail["slowest_stage_busy_s"], detail["mean_stage_busy_s"]
    above = slowest_s / mean_s - 1
    if above <= at_most + ROUNDING:
        return
    stage = int(detail["busiest_stage"])
    layers = subject.plan.stages[stage].num_layers
    yield subject.finding(
        "PL302",
        ("stages", stage, "index"),
        f"stage {stage} ({plural(layers, 'layer')}) is busy {seconds(slowest_s)} of a step, "
        f"{percent(above)} longer than the stages are on average ({seconds(mean_s)}); "
        f"{percent(at_most)} is allowed",
    )


def slow_link_findings(subject: Subject, cost: Estimate) -> Iterator[Finding]:
    """Whether tensor groups leave the fast fabric."""
    tensor, scenario = subject.plan.degrees.tensor, subject.scenario
    if tensor == 1:
        return
    group = scenario.placed(subject.plan.placement.hosts).topology.group(tensor, 1)
    if group.inside:
        return
    share = cost.time.tensor_comm_s / cost.step_s
    noun = "scale-up domain" if any(g.scale_up for g in scenario.cluster.node_groups) else "node"
    inside = f"{group.fast_bytes_per_s / GIGA:,.0f}" if group.local > 1 else "none"
    yield subject.finding(
        "PL303",
        ("degrees", "tensor"),
        f"tensor groups of {tensor} span {plural(group.domains, noun)}: "
        f"{group.member_network_bytes_per_s / GIGA:,.1f} GB/s for a device between them, {inside} "
        f"inside; tensor communication is {percent(share)} of the step",
        hint=f"{group.local} devices of a group share a fast fabric" if group.local > 1 else None,
    )


def full_precision_findings(subject: Subject, cost: Estimate) -> Iterator[Finding]:
    """Whether the job computes in fp32 on devices that compute in 16 bits much faster."""
    scenario = subject.scenario
    if scenario.job.precision != "fp32":
        return
    peaks = [group.device.peak.by_format() for group in scenario.cluster.node_groups]
    half = next((one for one in HALF if all(one in peak for peak in peaks)), None)
    if half is None:
        return
    faster = replace(scenario, job=replace(scenario.job, precision=half))
    step_s = estimate(faster, subject.plan).step_s
    yield subject.finding(
        "PL304",
        ("inputs", "job", "precision"),
        f"trains in fp32; in {half} the step would take {seconds(step_s)} instead of "
        f"{seconds(cost.step_s)}, {cost.step_s / step_s:.1f} times less",
        hint=f"give --{half} to the training command",
    )
