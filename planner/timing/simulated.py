"""The time of one step of one plan, its pipeline simulated pass by pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.costs import CAUSES
from planner.plan import TimeBreakdown
from planner.schedule.registry import build
from planner.schedule.simulate import Durations, simulate
from planner.schedule.timeline import Timeline
from planner.timing.step import step_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.batch import Batch
    from planner.costs import CostTable
    from planner.scenario import Scenario
    from planner.timing.step import StepParts

DATA = len(CAUSES)
"""Index of the data axis in `Passes.forward_s`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimulatedStep:
    breakdown: TimeBreakdown
    detail: dict[str, float]
    timeline: Timeline


def simulate_step(scenario: Scenario, table: CostTable, batch: Batch) -> SimulatedStep:
    """Exact pipeline of the batch's only plan.

    The breakdown follows the busiest stage: what it does in its passes, by cause; the wait that
    remains when sends take no time is bubble, what sends add to the pipeline is pipeline
    communication, what gradient reduction adds after the last pass and the parameter gather are
    data communication.
    """
    parts = step_parts(scenario, table, batch)
    schedule = build(
        batch.schedule,
        stages=batch.pipeline,
        virtual_stages=batch.virtual_stages,
        num_microbatches=int(batch.num_microbatches[0]),
    )
    timeline = simulate(schedule, _durations(parts))
    without_sends_s = timeline.pass_span_s
    if batch.pipeline > 1:
        without_sends_s = simulate(schedule, _durations(parts, sends=False)).pass_span_s
    busiest = int(parts.busy_s[0].argmax())
    busy_s = float(parts.busy_s[0, busiest])
    forward, backward, recompute_s = _step_work(parts, busiest)
    by_cause = forward + backward
    breakdown = TimeBreakdown(
        compute_s=float(by_cause[CAUSES.index("compute")]),
        recompute_s=recompute_s,
        tensor_comm_s=float(by_cause[CAUSES.index("tensor")]),
        context_comm_s=float(by_cause[CAUSES.index("context")]),
        expert_comm_s=float(by_cause[CAUSES.index("expert")]),
        pipeline_comm_s=max(timeline.pass_span_s - without_sends_s, 0.0),
        bubble_s=max(without_sends_s - busy_s, 0.0),
        data_comm_s=float(by_cause[DATA])
        + max(timeline.span_s - timeline.pass_span_s, 0.0)
        + float(parts.gather_s[0]),
        optimizer_s=float(parts.optimizer_s[0]),
        jitter_s=float(parts.jitter_s[0]),
    )
    return SimulatedStep(
        breakdown=breakdown, detail=_detail(parts, timeline, busiest), timeline=timeline
    )


def _durations(parts: StepParts, *, sends: bool = True) -> Durations:
    passes = parts.passes
    none = np.zeros_like(parts.sends.forward_s[0])
    return Durations(
        forward_s=passes.total_forward_s[0],
        backward_s=passes.total_backward_s[0],
        backward_weight_s=passes.weight_gradient_s[0],
        forward_send_s=parts.sends.forward_s[0] if sends else none,
        backward_send_s=parts.sends.backward_s[0] if sends else none,
        sends="blocking" if parts.sends.blocking else "asynchronous",
        reduction_s=parts.reduction_s[0],
        tied_reduction_s=float(parts.tied_reduction_s[0]),
    )


def _step_work(
    parts: StepParts, stage: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Seconds by cause that a stage spends in its forward and backward passes, and recomputing."""
    microbatches = int(parts.num_microbatches[0])
    return (
        microbatches * parts.passes.forward_s[:, 0, stage].sum(axis=-1),
        microbatches * parts.passes.backward_s[:, 0, stage].sum(axis=-1),
        microbatches * float(parts.passes.recompute_s[0, stage].sum()),
    )


def _detail(parts: StepParts, timeline: Timeline, busiest: int) -> dict[str, float]:
    """Seconds that are not exposed or belong to no single cause."""
    microbatches = int(parts.num_microbatches[0])
    return {
        "busiest_stage": float(busiest),
        "microbatch_forward_s": float(parts.passes.total_forward_s[0, busiest].sum()),
        "microbatch_backward_s": float(parts.passes.total_backward_s[0, busiest].sum()),
        "fastest_stage_busy_s": float(parts.busy_s[0].min()),
        "slowest_stage_busy_s": float(parts.busy_s[0].max()),
        "pipeline_s": float(timeline.pass_span_s),
        "bubble_fraction": float(timeline.bubble_fraction[busiest]),
        "longest_send_s": float(parts.sends.forward_s[0].max(initial=0.0)),
        "gradient_reduction_s": float(parts.reduction_s[0].max()),
        "parameter_gather_s": float(parts.gather_s[0]),
        "tied_embedding_reduction_s": float(parts.tied_reduction_s[0]),
        "hidden_layer_comm_s": microbatches * float(parts.passes.hidden_s[0, busiest].sum()),
    }
