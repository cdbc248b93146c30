"""Steps of very many microbatches, from a simulation of fewer.

A schedule whose stages alternate forwards and backwards repeats itself: from some microbatch on,
every pass and message ends the same time after the one a period before. A period is a microbatch
per stage through all chunks (`interleaved` takes groups of as many). Once all of them do so for as
long as passes depend on each other, they go on doing so until the forwards run out, because the
order and the durations stay the same and the end of a pass is the largest of sums. More
microbatches then only move what follows. Where a simulation does not come to that, all of the step
has to be simulated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.schedule.build import build
from planner.schedule.registry import kind_of
from planner.schedule.rules import ScheduleSize
from planner.schedule.simulation.simulate import simulate_each, step_spans

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.schedule.passes import Schedule
    from planner.schedule.simulation.simulate import Durations
    from planner.schedule.simulation.timeline import Timeline

SIMULATED = 4_000
"""Forwards of all stages up to which every one is simulated, which takes less than a second."""

SETTLING = 12
"""Microbatches per stage that are simulated at least before they may repeat themselves."""

WINDOW = 4
"""Periods at the end of the steady phase that have to agree: no pass waits for one longer ago."""

AGREE = 1e-9
"""Share of a period by which they may differ through rounding."""


class Spans(NamedTuple):
    """What a step takes: seconds until its last pass and with reductions, and the share of the
    first that every stage is idle, [p]."""

    pass_span_s: float
    span_s: float
    bubble_fraction: Floats

    @classmethod
    def of(cls, timeline: Timeline) -> Spans:
        """Those of a simulation."""
        return cls(timeline.pass_span_s, timeline.span_s, timeline.bubble_fraction)


def fewer_microbatches(
    name: str, *, stages: int, virtual_stages: int, num_microbatches: int
) -> int | None:
    """How many microbatches to simulate instead of very many; None where it is all of them."""
    chunks = stages * virtual_stages
    warmup = kind_of(name).warmup
    if warmup is None or chunks * num_microbatches <= SIMULATED:
        return None
    least = max(SETTLING * stages, SIMULATED // (2 * chunks))
    fewer = least + (num_microbatches - least) % stages
    some, many = (
        warmup(ScheduleSize.of(stages, virtual_stages, count, None))
        for count in (fewer, num_microbatches)
    )
    return fewer if fewer < num_microbatches and (some == many).all() else None


def extended(timeline: Timeline, num_microbatches: int) -> Spans | None:
    """The spans of the same step with more microbatches, whole periods of them; None where the
    simulation does not repeat itself at the end of its steady phase."""
    schedule = timeline.schedule
    stages, period = schedule.stages, 2 * schedule.stages * schedule.virtual_stages
    end = schedule.steady[:, 1]
    if (end - schedule.steady[:, 0] < (WINDOW + 1) * period).any():
        return None
    place = end[:, None] + np.arange(-WINDOW * period, 0)
    length_s = None
    for moments in (timeline.end_s, timeline.message_end_s):
        now = np.take_along_axis(moments, place, axis=1)
        earlier = np.take_along_axis(moments, place - period, axis=1)
        lengths = (now - earlier)[~np.isnan(now)]
        if length_s is None:
            length_s = float(lengths.mean())
        if (np.abs(lengths - length_s) > AGREE * length_s).any():
            return None
    assert length_s is not None
    more, rest = divmod(num_microbatches - schedule.num_microbatches, stages)
    assert not rest
    moved_s = more * length_s
    pass_span_s = timeline.pass_span_s + moved_s
    waits_s = timeline.send_waits_s
    last = place[:, -period:] - 1
    waited_s = timeline.send_wait_s + more * np.take_along_axis(waits_s, last, axis=1).sum(axis=1)
    busy_s = timeline.busy_s * (num_microbatches / schedule.num_microbatches)
    return Spans(
        pass_span_s=pass_span_s,
        span_s=timeline.span_s + moved_s,
        bubble_fraction=np.maximum(pass_span_s - busy_s - waited_s, 0.0) / pass_span_s,
    )


def repeated_spans(schedule: Schedule, durations: Durations) -> Floats:
    """[B]: what `step_spans` gives, in seconds, up to rounding, for a schedule that `build` gives
    for its sizes alone and for durations with one leading axis."""
    fewer = fewer_microbatches(
        schedule.name,
        stages=schedule.stages,
        virtual_stages=schedule.virtual_stages,
        num_microbatches=schedule.num_microbatches,
    )
    if fewer is None:
        return step_spans(schedule, durations)
    some = build(
        schedule.name,
        stages=schedule.stages,
        virtual_stages=schedule.virtual_stages,
        num_microbatches=fewer,
    )
    simulations = simulate_each(some, durations)
    every = []
    for one in range(len(simulations)):
        spans = extended(simulations.timeline(one), schedule.num_microbatches)
        if spans is None:
            return step_spans(schedule, durations)
        every.append(spans.span_s)
    return np.array(every)
