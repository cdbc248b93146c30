"""What every stage does during a step and when, as plain columns for pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.schedule.simulation.critical_path import critical_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.arrays import Floats, SmallInts
    from planner.schedule.simulation.timeline import Timeline
    from planner.training.timeline.step import StepTimeline

PARAMETER_GATHER = "parameter_gather"
OPTIMIZER = "optimizer"


class StepSpan(NamedTuple):
    """A reduction, the optimizer or a gathering of weights; `chunk` None where it is of no one
    chunk. Seconds from the start of the step."""

    activity: str
    stage: int
    chunk: int | None
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageSpans:
    """The passes of a stage in their order: [n] each. `kind` are values of `PassKind`, `critical`
    tells whether the step waits for a pass."""

    start_s: Floats
    end_s: Floats
    kind: SmallInts
    critical: SmallInts


def stage_spans(timeline: Timeline) -> tuple[StageSpans, ...]:
    """The passes of every stage, without those that only fill up its end."""
    schedule = timeline.schedule
    critical = {
        (one.activity, one.stage, one.microbatch, one.chunk) for one in critical_path(timeline)
    }
    found = []
    for stage in range(schedule.stages):
        passes = list(schedule.passes(stage))
        kept = len(passes)
        found.append(
            StageSpans(
                start_s=timeline.start_s[stage, :kept],
                end_s=timeline.end_s[stage, :kept],
                kind=np.array([one.kind for one in passes], dtype=np.int32),
                critical=np.array(
                    [
                        (one.kind.label, stage, one.microbatch, one.chunk) in critical
                        for one in passes
                    ],
                    dtype=np.int32,
                ),
            )
        )
    return tuple(found)


def reductions(timeline: Timeline) -> Iterator[StepSpan]:
    """Gradient reductions of chunks, of stages and of the tied embedding, where there are any."""
    found, stages = timeline.reductions, timeline.schedule.stages
    for stage in range(stages):
        spans = [
            StepSpan("chunk_reduction", stage, chunk, float(found.chunk_start_s[stage, chunk]), end)
            for chunk, end in enumerate(found.chunk_end_s[stage].tolist())
        ]
        own = float(found.stage_start_s[stage]), float(found.stage_end_s[stage])
        spans.append(StepSpan("reduction", stage, None, *own))
        if stage in (0, stages - 1):
            tied = float(found.tied_start_s), float(found.tied_end_s)
            spans.append(StepSpan("tied_reduction", stage, None, *tied))
        yield from (span for span in spans if span.end_s > span.start_s)


def updates(step: StepTimeline) -> Iterator[StepSpan]:
    """The optimizer on every stage, and the gathering of its weights where there is any."""
    start_s = step.timeline.span_s
    updated_s = start_s + step.optimizer_s
    for stage in range(step.timeline.schedule.stages):
        yield StepSpan(OPTIMIZER, stage, None, start_s, updated_s)
        if step.gather_s:
            yield StepSpan(PARAMETER_GATHER, stage, None, updated_s, updated_s + step.gather_s)
