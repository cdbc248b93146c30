"""A step as a Chrome trace, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

Every stage is a process with a row for compute, one for sends and one for gradient reduction, and a
counter of the activations it keeps. Messages that a stage sends both ways at once take a further
row, and so do collectives of all stages. Flow arrows lead from a send to the pass that needed it.
The critical path has a process of its own, and what is on it carries the category "critical".

Format: "Trace Event Format", Google 2016: complete ("X"), counter ("C"), flow ("s", "f") and
metadata ("M") events, times in microseconds.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.schedule.graph.dependencies import Messages, inputs_of
from planner.schedule.passes import VOCAB_KINDS, PassKind
from planner.schedule.simulation.critical_path import critical_path
from planner.training.timeline.spans import OPTIMIZER, reductions, updates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from planner.schedule.simulation.critical_path import Segment
    from planner.schedule.simulation.timeline import Timeline
    from planner.training.timeline.step import StepTimeline

Event = dict[str, Any]

COMPUTE, REDUCTION, EXCHANGES, SENDS = range(4)
"""Rows of a stage; further rows of sends follow the last."""

ROWS = {
    COMPUTE: "compute",
    REDUCTION: "gradient reduction",
    EXCHANGES: "collectives",
    SENDS: "sends",
}

SHORT = {
    PassKind.FORWARD: "F",
    PassKind.BACKWARD: "B",
    PassKind.BACKWARD_INPUT: "B",
    PassKind.BACKWARD_WEIGHT: "W",
    PassKind.VOCAB_FORWARD: "S",
    PassKind.VOCAB_BACKWARD: "T",
    PassKind.RECOMPUTE: "R",
}
"""Passes as the papers name them."""

NANOSECONDS = 1e9
"""In a second."""


def trace_text(step: StepTimeline) -> str:
    """The JSON document, one event a line; the same for the same step."""
    events = ",\n".join(_line(event) for event in trace_events(step))
    other = _line(
        {
            "schedule": step.timeline.schedule.name,
            "step_s": step.step_s,
            "pipeline_s": step.timeline.span_s,
            "jitter_s": step.jitter_s,
        }
    )
    return f'{{"displayTimeUnit":"ms","otherData":{other},"traceEvents":[\n{events}\n]}}\n'


def _line(value: Event) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def trace_events(step: StepTimeline) -> list[Event]:
    """Metadata first, then everything in order of time."""
    path = critical_path(step.timeline)
    critical = {(one.activity, one.stage, one.microbatch, one.chunk) for one in path}
    events = [
        *_passes(step.timeline, critical),
        *_sends(step.timeline, critical),
        *_exchanges(step.timeline, critical),
        *_reductions(step, critical),
        *_counters(step),
        *_critical_path(step.timeline, path),
    ]
    events.sort(key=lambda event: (event["ts"], event["pid"], event["tid"]))
    return [*_metadata(step.timeline, events), *events]


def _metadata(timeline: Timeline, events: list[Event]) -> Iterator[Event]:
    stages = timeline.schedule.stages
    rows: dict[int, set[int]] = defaultdict(set)
    for event in events:
        rows[event["pid"]].add(event["tid"])
    for stage in range(stages):
        yield _named("process_name", stage, 0, f"stage {stage}")
        yield _sorted("process_sort_index", stage, 0, stage + 1)
        for row in sorted({COMPUTE, REDUCTION, SENDS} | rows[stage]):
            name = ROWS.get(row, f"sends ({row - SENDS + 1})")
            yield _named("thread_name", stage, row, name)
            yield _sorted("thread_sort_index", stage, row, row)
    yield _named("process_name", stages, 0, "critical path")
    yield _sorted("process_sort_index", stages, 0, 0)
    yield _named("thread_name", stages, 0, "what the step waits for")


def _named(kind: str, process: int, row: int, name: str) -> Event:
    return {"ph": "M", "name": kind, "pid": process, "tid": row, "args": {"name": name}}


def _sorted(kind: str, process: int, row: int, index: int) -> Event:
    return {"ph": "M", "name": kind, "pid": process, "tid": row, "args": {"sort_index": index}}


def _slice(
    name: str, category: str, stage: int, row: int, start: float, end: float, **args: object
) -> Event:
    begin, stop = _nanoseconds(start), _nanoseconds(end)
    return {
        "ph": "X",
        "name": name,
        "cat": category,
        "pid": stage,
        "tid": row,
        "ts": begin / 1000,
        "dur": (stop - begin) / 1000,
        "args": args,
    }


def _nanoseconds(seconds: float) -> int:
    """Whole numbers, so that a slice ends where the next begins."""
    return round(seconds * NANOSECONDS)


Key = tuple[str, int, int | None, int | None]
"""Activity, stage, microbatch and chunk of a `Segment`."""


def _category(activity: str, critical: bool) -> str:
    return f"{activity},critical" if critical else activity


def _passes(timeline: Timeline, critical: set[Key]) -> Iterator[Event]:
    schedule = timeline.schedule
    several = schedule.virtual_stages > 1
    for stage in range(schedule.stages):
        starts, ends = timeline.start_s[stage].tolist(), timeline.end_s[stage].tolist()
        for one, start, end in zip(schedule.passes(stage), starts, ends, strict=False):
            name = f"{SHORT[one.kind]}{one.microbatch}"
            chunk = None if one.kind in VOCAB_KINDS else one.chunk
            label = one.kind.label
            key = (label, stage, one.microbatch, one.chunk)
            yield _slice(
                f"{name}.{chunk}" if several and chunk is not None else name,
                _category(label, key in critical),
                stage,
                COMPUTE,
                start,
                end,
                microbatch=one.microbatch,
                chunk=one.chunk,
            )


def _sends(timeline: Timeline, critical: set[Key]) -> Iterator[Event]:
    """Every message on the first row of its stage that is free, and its arrow to the pass that
    takes it."""
    schedule = timeline.schedule
    inputs = inputs_of(schedule)
    messages = Messages.between(inputs)
    count = inputs.shape[1]
    takers = {int(inputs[stage, i]): (stage, i) for stage, i in np.argwhere(inputs >= 0).tolist()}
    for stage in range(schedule.stages):
        free: list[int] = []
        order = np.argsort(timeline.message_start_s[stage], kind="stable")
        for column in order[messages.exists[stage][order]].tolist():
            kind, microbatch, chunk = schedule.decode(int(schedule.codes[stage, column]))
            activity = "forward_send" if kind is PassKind.FORWARD else "backward_send"
            start = float(timeline.message_start_s[stage, column])
            end = float(timeline.message_end_s[stage, column])
            lane = next(
                (i for i, until in enumerate(free) if until <= _nanoseconds(start)), len(free)
            )
            free[lane : lane + 1] = [_nanoseconds(end)]
            receiver, taken = takers[stage * count + column]
            arrow = "activation" if kind is PassKind.FORWARD else "gradient"
            key = (activity, stage, microbatch, chunk)
            sent = _slice(
                f"{arrow} {microbatch} to stage {receiver}",
                _category(activity, key in critical),
                stage,
                SENDS + lane,
                start,
                end,
                microbatch=microbatch,
                chunk=chunk,
            )
            yield sent
            flow = {"name": arrow, "cat": "send", "id": stage * count + column}
            yield {**flow, "ph": "s", "pid": stage, "tid": SENDS + lane, "ts": sent["ts"]}
            yield {
                **flow,
                "ph": "f",
                "bp": "e",
                "pid": receiver,
                "tid": COMPUTE,
                "ts": _nanoseconds(float(timeline.start_s[receiver, taken])) / 1000,
            }


def _exchanges(timeline: Timeline, critical: set[Key]) -> Iterator[Event]:
    """Collectives of all stages, drawn on every stage."""
    schedule = timeline.schedule
    for index, exchange in enumerate(schedule.exchanges):
        name = exchange.name.replace("_", " ")
        starts, ends = timeline.exchange_start_s[index], timeline.exchange_end_s[index]
        for microbatch in range(schedule.num_microbatches):
            on_path = any(
                (exchange.name, stage, microbatch, None) in critical
                for stage in range(schedule.stages)
            )
            for stage in range(schedule.stages):
                yield _slice(
                    f"{name} {microbatch}",
                    _category(exchange.name, on_path),
                    stage,
                    EXCHANGES,
                    float(starts[microbatch]),
                    float(ends[microbatch]),
                    microbatch=microbatch,
                )


def _reductions(step: StepTimeline, critical: set[Key]) -> Iterator[Event]:
    """Gradient reductions; then, on every stage, the optimizer and the gathering of its weights."""
    for one in reductions(step.timeline):
        on_path = (one.activity, one.stage, None, one.chunk) in critical
        name = one.activity.replace("_", " ")
        yield _slice(
            name if one.chunk is None else f"{name} {one.chunk}",
            _category(one.activity, on_path),
            one.stage,
            REDUCTION,
            one.start_s,
            one.end_s,
        )
    for one in updates(step):
        yield _slice(
            one.activity.replace("_", " "),
            _category(one.activity, critical=True),
            one.stage,
            COMPUTE if one.activity == OPTIMIZER else REDUCTION,
            one.start_s,
            one.end_s,
        )


def _counters(step: StepTimeline) -> Iterator[Event]:
    for stage, curve in enumerate(step.memory):
        yield _counter(stage, 0, 0)
        for moment, level in zip(curve.moment_s.tolist(), curve.level.tolist(), strict=True):
            yield _counter(stage, _nanoseconds(moment), round(level))


def _counter(stage: int, nanoseconds: int, level: int) -> Event:
    return {
        "ph": "C",
        "name": "activations",
        "pid": stage,
        "tid": COMPUTE,
        "ts": nanoseconds / 1000,
        "args": {"bytes": level},
    }


def _critical_path(timeline: Timeline, path: Iterable[Segment]) -> Iterator[Event]:
    process = timeline.schedule.stages
    for one in path:
        of = [f"stage {one.stage}", one.activity.replace("_", " ")]
        if one.microbatch is not None:
            of.append(str(one.microbatch))
        yield _slice(" ".join(of), "critical", process, 0, one.start_s, one.end_s)
