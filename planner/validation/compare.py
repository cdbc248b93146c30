"""One measured run compared with its estimate, quantity by quantity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.training.estimate import point_estimate
from planner.validation.figures import (
    GIB,
    MILLI,
    measured_bytes,
    measured_step_s,
    peak_allocated_bytes,
)
from planner.validation.planned import plan_run
from planner.validation.stage_times import stage_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan import Estimate, Plan, StageMemory
    from planner.specs.runs.file import MeasuredInput
    from planner.specs.runs.spec import Run
    from planner.training.scenario import Scenario

MEMORY_KINDS = ("allocated", "reserved", "device")
STAGE_QUANTITIES = ("allocated_bytes", "forward_s", "backward_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One quantity: seconds or bytes."""

    predicted: float
    measured: float

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What the planner says of a run, and what was measured. None: not measured.

    `stages` holds the quantities measured stage by stage (`STAGE_QUANTITIES`). `fits_measured` is
    false for a run that ran out of memory, None when nothing is stated at all;
    `fits_predicted` compares the device peak with the capacity, without headroom.
    """

    id: str
    group: str | None
    scenario: Scenario
    plan: Plan
    estimate: Estimate
    step: Comparison | None
    memory: dict[str, Comparison | None]
    min_rank_allocated: Comparison | None
    stages: dict[str, tuple[Comparison, ...]]
    fits_predicted: bool
    fits_measured: bool | None
    assumptions: tuple[str, ...]

    @property
    def fullest_stage(self) -> StageMemory:
        """The stage whose device peak takes the largest share of its capacity."""
        return max(
            self.estimate.memory.per_stage,
            key=lambda stage: stage.device_peak_bytes / stage.capacity_bytes,
        )

    @property
    def fit_is_wrong(self) -> bool:
        """Whether it is known to have run where it was predicted not to fit, or the reverse."""
        return self.fits_measured is not None and self.fits_measured != self.fits_predicted

    @property
    def measured_mfu(self) -> float | None:
        """Model FLOP/s over the dense peak of the job's number format, as measured."""
        if self.step is None:
            return None
        cost = self.estimate
        return cost.model_flops_per_step / (
            self.step.measured * cost.devices * cost.peak_flop_per_s
        )


def compare_run(run: Run) -> RunResult:
    """Estimate a run and compare it with its measurements.

    Raises: PlannerError when the run cannot be planned.
    """
    planned = plan_run(run)
    scenario, plan, measured = planned.scenario, planned.plan, run.measured
    cost = point_estimate(scenario, plan)
    per_stage = cost.memory.per_stage
    step_s = measured_step_s(measured, scenario, plan, cost)
    return RunResult(
        id=run.id,
        group=run.group,
        scenario=scenario,
        plan=plan,
        estimate=cost,
        step=_compared(cost.step_s, step_s),
        memory=compare_memory(cost, measured, scenario.job.software.printed_stage),
        min_rank_allocated=_compared(
            min(stage.allocated_peak_bytes for stage in per_stage),
            measured_bytes(measured.min_rank_allocated_gib),
        ),
        stages=_stages(run, scenario, plan, cost),
        fits_predicted=all(stage.device_peak_bytes <= stage.capacity_bytes for stage in per_stage),
        fits_measured=not measured.oom if measured.model_fields_set else None,
        assumptions=(*planned.assumptions, *cost.assumptions),
    )


def compare_memory(
    cost: Estimate, measured: MeasuredInput, printed_stage: str = "fullest"
) -> dict[str, Comparison | None]:
    """The largest peak of all stages, or that of the stage whose figures the framework prints, each
    memory kind with its own prediction."""
    shown = {"fullest": slice(None), "first": slice(0, 1), "last": slice(-1, None)}
    per_stage = cost.memory.per_stage[shown[printed_stage]]
    return {
        "allocated": _compared(
            max(stage.allocated_peak_bytes for stage in per_stage), peak_allocated_bytes(measured)
        ),
        "reserved": _compared(
            max(stage.reserved_peak_bytes for stage in per_stage),
            measured_bytes(measured.peak_reserved_gib),
        ),
        "device": _compared(
            max(stage.device_peak_bytes for stage in per_stage),
            measured_bytes(measured.peak_device_gib),
        ),
    }


def _compared(predicted: float, measured: float | None) -> Comparison | None:
    return None if measured is None else Comparison(predicted=predicted, measured=measured)


def _stages(
    run: Run, scenario: Scenario, plan: Plan, cost: Estimate
) -> dict[str, tuple[Comparison, ...]]:
    measured = run.measured
    compared: dict[str, tuple[Comparison, ...]] = {}
    if measured.peak_allocated_gib_per_stage is not None:
        compared["allocated_bytes"] = _by_stage(
            [stage.allocated_peak_bytes for stage in cost.memory.per_stage],
            [gib * GIB for gib in measured.peak_allocated_gib_per_stage],
        )
    if measured.stage_forward_ms is None and measured.stage_backward_ms is None:
        return compared
    forward_s, backward_s = stage_seconds(scenario, plan)
    for name, predicted, milliseconds in (
        ("forward_s", forward_s, measured.stage_forward_ms),
        ("backward_s", backward_s, measured.stage_backward_ms),
    ):
        if milliseconds is not None:
            compared[name] = _by_stage(predicted, [value * MILLI for value in milliseconds])
    return compared


def _by_stage(predicted: Sequence[float], measured: Sequence[float]) -> tuple[Comparison, ...]:
    if len(predicted) != len(measured):
        raise InputError(
            f"{len(measured)} figures measured stage by stage, the run has {len(predicted)} stages"
        )
    return tuple(
        Comparison(predicted=ours, measured=theirs)
        for ours, theirs in zip(predicted, measured, strict=True)
    )
