"""Why a step takes as long as it does: the path of passes and messages that its end waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.schedule.passes import PassKind

if TYPE_CHECKING:
    from planner.arrays import Ints
    from planner.schedule.simulation.timeline import Timeline


class Segment(NamedTuple):
    """A piece of the critical path: one pass, one message or one reduction."""

    activity: str
    """A `PassKind` label, "forward_send", "backward_send", the name of an exchange,
    "chunk_reduction", "reduction" or "tied_reduction"."""
    stage: int
    """The stage that works or sends; for an exchange, the stage that it waited for last."""
    microbatch: int | None
    chunk: int | None
    start_s: float
    end_s: float


class CriticalPasses(NamedTuple):
    """Passes in order: each one's `PassKind`, stage and chunk."""

    kinds: Ints
    stages: Ints
    chunks: Ints


def critical_path(timeline: Timeline) -> tuple[Segment, ...]:
    """Consecutive segments from 0 to `span_s`, each starting when the previous one ends: the
    step gets shorter only if one of them does.

    Segments without duration are left out. Of two equal causes, the stage's own is taken.
    """
    stage, moment, tail = _reduction_path(timeline)
    return (*_pass_path(timeline, stage, moment), *tail)


def awaited_stage(timeline: Timeline) -> int:
    """The stage whose passes the end of the step waits for."""
    found = timeline.reductions
    stage = int(found.stage_end_s.argmax())
    if found.tied_end_s > found.stage_end_s[stage]:
        return 0 if found.stage_end_s[0] >= found.stage_end_s[-1] else len(timeline.end_s) - 1
    return stage


def _reduction_path(timeline: Timeline) -> tuple[int, float, list[Segment]]:
    """The stage whose passes the end of the step waits for, when these passes end, and the
    reductions from then on."""
    found = timeline.reductions
    path: list[Segment] = []

    def add(activity: str, stage: int, chunk: int | None, start: float, end: float) -> None:
        if end > start:
            path.insert(0, Segment(activity, stage, None, chunk, start, end))

    stage = awaited_stage(timeline)
    if found.tied_end_s > found.stage_end_s[stage]:
        add("tied_reduction", stage, None, float(found.tied_start_s), float(found.tied_end_s))
    moment = float(found.stage_start_s[stage])
    add("reduction", stage, None, moment, float(found.stage_end_s[stage]))

    starts, ends = found.chunk_start_s[stage], found.chunk_end_s[stage]
    for chunk in np.argsort(ends, kind="stable")[::-1].tolist():
        if starts[chunk] < ends[chunk] == moment:
            add("chunk_reduction", stage, chunk, float(starts[chunk]), moment)
            moment = float(starts[chunk])
    return stage, moment, path


def critical_passes(timeline: Timeline) -> CriticalPasses:
    """The passes on the critical path, in order; those without duration are left out."""
    stage, moment, _ = _reduction_path(timeline)
    nodes = np.array(_path_nodes(timeline, stage, moment), dtype=np.int64)
    position = timeline.position_of[nodes]
    place = position[(position >= 0) & (position < timeline.end_s.size)]
    schedule = timeline.schedule
    passes = schedule.codes.ravel()[place] // schedule.num_microbatches
    kinds, chunks = np.divmod(passes, schedule.virtual_stages)
    return CriticalPasses(kinds, place // timeline.end_s.shape[1], chunks)


def _pass_path(timeline: Timeline, stage: int, moment: float) -> list[Segment]:
    """Segments from the start of the step to the pass of `stage` that ends at `moment`."""
    left, right, ends = timeline.graph.left, timeline.graph.right, timeline.ends
    return [
        _segment(timeline, node, float(max(ends[left[node]], ends[right[node]])), float(ends[node]))
        for node in _path_nodes(timeline, stage, moment)
    ]


def _path_nodes(timeline: Timeline, stage: int, moment: float) -> list[int]:
    """Nodes with a duration, from the start of the step to the pass of `stage` that ends at
    `moment`."""
    left, right, ends = timeline.graph.left, timeline.graph.right, timeline.ends
    column = int(np.flatnonzero(timeline.end_s[stage] == moment)[-1])
    node = int(timeline.graph.pass_node[stage, column])
    path: list[int] = []
    while node:
        one, other = int(left[node]), int(right[node])
        cause = other if ends[other] > ends[one] else one
        if ends[node] > ends[cause]:
            path.append(node)
        node = cause
    return path[::-1]


def _segment(timeline: Timeline, node: int, start: float, end: float) -> Segment:
    position, size = int(timeline.position_of[node]), timeline.end_s.size
    if position >= 2 * size:
        index, microbatch = divmod(position - 2 * size, timeline.schedule.num_microbatches)
        name = timeline.schedule.exchanges[index].name
        return Segment(name, _awaited_stage(timeline, node), microbatch, None, start, end)
    stage, column = divmod(position % size, timeline.end_s.shape[1])
    kind, microbatch, chunk = timeline.schedule.decode(int(timeline.schedule.codes[stage, column]))
    label = kind.label
    if position >= size:
        label = "forward_send" if kind is PassKind.FORWARD else "backward_send"
    return Segment(label, stage, microbatch, chunk, start, end)


def _awaited_stage(timeline: Timeline, node: int) -> int:
    """The stage of the pass that the causes of a node lead to, through any nodes in between."""
    position, size = -1, timeline.end_s.size
    while not 0 <= position < size:
        one, other = int(timeline.graph.left[node]), int(timeline.graph.right[node])
        node = other if timeline.ends[other] > timeline.ends[one] else one
        position = int(timeline.position_of[node])
    return position // int(timeline.end_s.shape[1])
