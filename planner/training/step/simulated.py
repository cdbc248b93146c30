"""The time of one step of one plan, its pipeline simulated pass by pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.plan import TimeBreakdown
from planner.schedule.build import build
from planner.schedule.orders.recompute import with_recompute
from planner.schedule.simulation.simulate import Durations, simulate, step_spans
from planner.schedule.simulation.steady import Spans, extended, fewer_microbatches
from planner.training.costs import CAUSES
from planner.training.step.parts import step_parts
from planner.training.step.passes import chunk_seconds, host_bound_s, stage_causes
from planner.training.step.sends import Sends, replica_sends

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.schedule.passes import Schedule
    from planner.schedule.simulation.timeline import Timeline
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.step.parts import StepParts


class Simulated(NamedTuple):
    """The parts of the step of one plan, and when its passes, messages and reductions ran."""

    parts: StepParts
    timeline: Timeline


class SimulatedSpans(NamedTuple):
    """The parts of the step of one plan, and how long its pipeline takes."""

    parts: StepParts
    spans: Spans

    @property
    def step_s(self) -> float:
        """The same seconds as `simulate_step` adds up cause by cause, up to rounding."""
        parts = self.parts
        once = parts.gather_s[0] + parts.optimizer_s[0] + parts.jitter_s[0]
        return self.spans.span_s + float(once)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimulatedStep:
    breakdown: TimeBreakdown
    detail: dict[str, float]


def simulate_step(
    scenario: Scenario, table: CostTable, batch: Batch, simulated: SimulatedSpans | None = None
) -> SimulatedStep:
    """Exact pipeline of the batch's only plan; `simulated` is what `slowest_spans` found for it, if
    that is known already.

    The breakdown follows the busiest stage: what it does in its passes, by cause; the wait that
    remains when sends take no time is bubble; what sends add to the pipeline is pipeline
    communication; what gradient reduction adds after the last pass, and the parameter gather, are
    data communication.
    """
    weight_s = chunk_seconds(scenario, table, batch, table.weight_gradient_s)[0]
    parts, spans = simulated or slowest_spans(scenario, table, batch)
    without_sends_s = spans.pass_span_s
    if batch.pipeline > 1:
        without_sends_s = _pass_span_s(batch, durations(parts, weight_s, sends=False))
    busiest = int(parts.busy_s[0].argmax())
    busy_s = float(parts.busy_s[0, busiest])
    microbatches = int(batch.chunk_microbatches[0])
    by_cause = microbatches * stage_causes(scenario, table, batch, busiest)[:, 0]
    beside_s = microbatches * float(parts.vocabulary.beside_s[0, busiest])
    breakdown = TimeBreakdown(
        compute_s=float(by_cause[CAUSES.index("compute")]) + beside_s,
        recompute_s=microbatches * float(parts.passes.recompute_s[0, busiest].sum()),
        tensor_comm_s=float(by_cause[CAUSES.index("tensor")]),
        context_comm_s=float(by_cause[CAUSES.index("context")]),
        expert_comm_s=float(by_cause[CAUSES.index("expert")]),
        pipeline_comm_s=max(spans.pass_span_s - without_sends_s, 0.0),
        bubble_s=max(without_sends_s - busy_s, 0.0) if batch.pipeline > 1 else 0.0,
        data_comm_s=microbatches * float(parts.passes.data_s[0, busiest].sum())
        + max(spans.span_s - spans.pass_span_s, 0.0)
        + float(parts.gather_s[0]),
        optimizer_s=float(parts.optimizer_s[0] - parts.exposed_update_s[0]),
        jitter_s=float(parts.jitter_s[0]),
        offload_s=microbatches * _of_stage(parts.passes.offload_s, busiest)
        + float(parts.exposed_update_s[0]),
    )
    hidden_s = chunk_seconds(scenario, table, batch, table.hidden_s)[0, busiest].sum()
    waiting_s = host_bound_s(scenario, table, batch, busiest)[0]
    beside = {
        "hidden_layer_comm_s": microbatches * float(hidden_s),
        "host_bound_s": microbatches * float(waiting_s),
    }
    return SimulatedStep(breakdown=breakdown, detail=_detail(parts, spans, busiest) | beside)


def _of_stage(seconds: NDArray[np.float64] | float, stage: int) -> float:
    """What a stage of the only plan takes for one microbatch, of seconds [1, p, v]."""
    return seconds if isinstance(seconds, float) else float(seconds[0, stage].sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpelledOut:
    """One step of one plan pass by pass, with recomputation as separate passes, and what follows
    its pipeline on every device (seconds)."""

    timeline: Timeline
    optimizer_s: float
    gather_s: float
    jitter_s: float


def spell_out(scenario: Scenario, table: CostTable, batch: Batch) -> SpelledOut:
    """The step of the batch's only plan, with the same times as `simulate_step`."""
    parts, timeline = slowest_replica(scenario, table, batch, recompute_apart=True)
    return SpelledOut(
        timeline=timeline,
        optimizer_s=float(parts.optimizer_s[0]),
        gather_s=float(parts.gather_s[0]),
        jitter_s=float(parts.jitter_s[0]),
    )


def schedule_of(batch: Batch) -> Schedule:
    """The schedule of the batch's only plan."""
    return build(
        batch.schedule,
        stages=batch.pipeline,
        virtual_stages=batch.virtual_stages,
        num_microbatches=int(batch.num_microbatches[0]),
        ahead=None if batch.ahead is None else tuple(batch.ahead[0].tolist()),
    )


def slowest_replica(
    scenario: Scenario, table: CostTable, batch: Batch, *, recompute_apart: bool = False
) -> Simulated:
    """The parts of the step of the batch's only plan with the sends of the replica that ends last,
    and its timeline, optionally with recomputation as separate passes. Replicas share nothing but
    their gradients, so the step ends with the last of them."""
    parts = step_parts(scenario, table, batch)
    schedule = schedule_of(batch)
    recomputing = np.flatnonzero(parts.passes.recompute_s[0].sum(axis=-1))
    if recompute_apart and recomputing.size:
        schedule = with_recompute(schedule, recomputing.tolist())
    weight_s = chunk_seconds(scenario, table, batch, table.weight_gradient_s)[0]
    sends = replica_sends(scenario, table, batch)
    last = 0
    if len(sends.forward_s) > 1:
        several = replace(
            durations(parts, weight_s),
            forward_send_s=sends.forward_s,
            backward_send_s=sends.backward_s,
        )
        last = int(step_spans(schedule, several).argmax())
    own = Sends(
        forward_s=sends.forward_s[last, None],
        backward_s=sends.backward_s[last, None],
        mode=sends.mode,
    )
    slowest = replace(parts, sends=own)
    return Simulated(slowest, simulate(schedule, durations(slowest, weight_s)))


def slowest_spans(scenario: Scenario, table: CostTable, batch: Batch) -> SimulatedSpans:
    """What `slowest_replica` finds, without its timeline: much cheaper for very many microbatches,
    where these repeat themselves."""
    if _fewer(batch) is None:
        found = slowest_replica(scenario, table, batch)
        return SimulatedSpans(found.parts, Spans.of(found.timeline))
    parts = step_parts(scenario, table, batch)
    weight_s = chunk_seconds(scenario, table, batch, table.weight_gradient_s)[0]
    sends = replica_sends(scenario, table, batch)
    replicas = [
        replace(parts, sends=Sends(forward_s=there[None], backward_s=back[None], mode=sends.mode))
        for there, back in zip(sends.forward_s, sends.backward_s, strict=True)
    ]
    every = [SimulatedSpans(one, _spans(batch, durations(one, weight_s))) for one in replicas]
    return max(every, key=lambda one: one.spans.span_s)


def _spans(batch: Batch, seconds: Durations) -> Spans:
    """The spans of the batch's only plan with these durations."""
    fewer = _fewer(batch)
    if fewer is not None:
        some = replace(batch, num_microbatches=np.array([fewer]))
        found = extended(simulate(schedule_of(some), seconds), int(batch.num_microbatches[0]))
        if found is not None:
            return found
    return Spans.of(simulate(schedule_of(batch), seconds))


def _pass_span_s(batch: Batch, seconds: Durations) -> float:
    """The seconds of `_spans` until the last pass alone."""
    if _fewer(batch) is None:
        return simulate(schedule_of(batch), seconds).pass_span_s
    return _spans(batch, seconds).pass_span_s


def _fewer(batch: Batch) -> int | None:
    return fewer_microbatches(
        batch.schedule,
        stages=batch.pipeline,
        virtual_stages=batch.virtual_stages,
        num_microbatches=int(batch.num_microbatches[0]),
    )


def durations(
    parts: StepParts, weight_gradient_s: NDArray[np.float64], *, sends: bool = True
) -> Durations:
    """Durations of the only plan of `parts`, for the simulator; optionally with free sends."""
    none = np.zeros_like(parts.sends.forward_s[0])
    exchanges = parts.vocabulary.exchange_s[0]
    return Durations(
        forward_s=parts.passes.forward_s[0],
        backward_s=parts.passes.backward_s[0],
        backward_weight_s=weight_gradient_s,
        recompute_s=parts.passes.recompute_s[0],
        vocab_forward_s=parts.vocabulary.forward_s[0],
        vocab_backward_s=parts.vocabulary.backward_s[0],
        exchange_s=exchanges if sends else np.zeros_like(exchanges),
        forward_send_s=parts.sends.forward_s[0] if sends else none,
        backward_send_s=parts.sends.backward_s[0] if sends else none,
        sends=parts.sends.mode,
        reduction_s=parts.reduction_s[0],
        tied_reduction_s=float(parts.tied_reduction_s[0]),
    )


def _detail(parts: StepParts, spans: Spans, busiest: int) -> dict[str, float]:
    """Seconds that are not exposed or belong to no single cause."""
    return {
        "busiest_stage": float(busiest),
        "microbatch_forward_s": float(parts.passes.forward_s[0, busiest].sum()),
        "microbatch_backward_s": float(parts.passes.backward_s[0, busiest].sum()),
        "fastest_stage_busy_s": float(parts.busy_s[0].min()),
        "mean_stage_busy_s": float(parts.busy_s[0].mean()),
        "slowest_stage_busy_s": float(parts.busy_s[0].max()),
        "pipeline_s": float(spans.pass_span_s),
        "bubble_fraction": float(spans.bubble_fraction[busiest]),
        "longest_send_s": float(parts.sends.forward_s[0].max(initial=0.0)),
        "gradient_reduction_s": float(parts.reduction_s[0].max()),
        "parameter_gather_s": float(parts.gather_s[0]),
        "tied_embedding_reduction_s": float(parts.tied_reduction_s[0]),
    }
