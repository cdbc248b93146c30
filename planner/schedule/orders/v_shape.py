"""Zero-bubble orders with two chunks per stage in a V: stage 0 has the first and the last
layers."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.passes import PassKind, Schedule, encode, vee

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.schedule.rules import ScheduleSize

Step = tuple[PassKind, int, int]
"""Kind, chunk, microbatch."""

F, B, W = PassKind.FORWARD, PassKind.BACKWARD_INPUT, PassKind.BACKWARD_WEIGHT


def zb_v(size: ScheduleSize) -> Schedule:
    """No bubble, with the memory of 1F1B, when all passes take equally long.

    Qi et al. 2024 (arXiv:2401.10241); the phases of torch `ScheduleZBVZeroBubble`. With fewer than
    2p − 1 microbatches it runs the order of 2p − 1 without the missing ones.
    """
    stages, m = size.stages, int(size.num_microbatches)
    planned = max(m, 2 * stages - 1)
    rows = []
    for stage in range(stages):
        below = stages - stage
        row = _Row()
        row.repeat(2 * below - 1, (F, 0))
        row.repeat(stage, (F, 1), (F, 0))
        row.repeat(below, (F, 1), (B, 1), (W, 1))
        row.repeat(planned - row.done[F, 0], (F, 0), (B, 0), (W, 0), (F, 1), (B, 1), (W, 1))
        row.repeat(below - 1, (B, 0), (W, 0), (F, 1), (B, 1), (W, 1))
        row.repeat(stage, (B, 0), (B, 1))
        row.repeat(below, (B, 0), (W, 0))
        row.repeat(planned - row.done[W, 1], (W, 1))
        row.repeat(planned - row.done[W, 0], (W, 0))
        rows.append([step for step in row.steps if step[2] < m])
    return _schedule("zb-v", rows, m)


class _Row:
    """The order of one stage while it is built: each kind and chunk takes its microbatches in
    turn."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.done = {(kind, chunk): 0 for kind in (F, B, W) for chunk in (0, 1)}

    def repeat(self, times: int, *turn: tuple[PassKind, int]) -> None:
        for _ in range(times):
            for one in turn:
                self.steps.append((*one, self.done[one]))
                self.done[one] += 1


def v_half(size: ScheduleSize) -> Schedule:
    """Half the activations of 1F1B, and half its bubble when all passes take equally long.

    Qi et al. 2024, "Pipeline Parallelism with Controllable Memory" (arXiv:2405.15362): the building
    block of that paper; `_list_schedule` packs warm-up and cool-down.
    """

    def building_block(stage: int, stages: int, gap: int) -> tuple[int, int, int, int]:
        return (
            2 * stage,
            3 * stages - 2 - stage,
            3 * stages - 1 + gap + 2 * stage,
            6 * stages - 2 + gap - stage,
        )

    return _from_pattern("v-half", size, building_block, size.stages + 2 - size.stages % 2)


def v_min(size: ScheduleSize) -> Schedule:
    """A third of the activations of 1F1B, and two thirds of its bubble; source: see `v_half`."""

    def building_block(stage: int, stages: int, gap: int) -> tuple[int, int, int, int]:
        return (
            stage,
            2 * stages - 1 - stage,
            2 * stages + gap + stage,
            4 * stages + gap - 1 - stage,
        )

    return _from_pattern("v-min", size, building_block, 2 * ((size.stages + 4) // 3))


_INTERVAL = 6
"""Places between microbatches: three kinds of passes for each of two chunks."""

_PARTS = ((F, 0), (F, 1), (B, 1), (B, 0))
"""The way of a microbatch: down, up, and back the same way. Each part feeds the next where the V
turns."""


def _from_pattern(
    name: str,
    size: ScheduleSize,
    block: Callable[[int, int, int], tuple[int, int, int, int]],
    kept: int,
) -> Schedule:
    """Repeats a building block every six places, in passes of equal length.

    `block(stage, stages, gap)` gives the places of the `_PARTS` of microbatch 0; `gap` is the
    smallest that keeps microbatches from taking the same places. A stage runs its parts in that
    order as early as it can while it keeps at most `kept` activations, and fills waiting time with
    weight gradients.
    """
    stages, m = size.stages, int(size.num_microbatches)
    gap = next(
        gap
        for gap in range(_INTERVAL)
        if all(
            len({place % _INTERVAL for place in block(stage, stages, gap)}) == len(_PARTS)
            for stage in range(stages)
        )
    )
    orders = [
        sorted(
            (place + _INTERVAL * microbatch, part, microbatch)
            for part, place in enumerate(block(stage, stages, gap))
            for microbatch in range(m)
        )
        for stage in range(stages)
    ]
    parts = [[part for _, part, _ in order] for order in orders]
    return _schedule(name, _list_schedule(parts, kept), m)


def _list_schedule(orders: list[list[int]], kept: int) -> list[list[Step]]:
    """Runs all stages in lockstep, one pass of unit length per place, and adds the weight
    gradients.

    A stage runs the next part of its order if the input is there and, for a forward, if it keeps
    fewer than `kept` activations. Otherwise it runs the oldest weight gradient due, otherwise
    nothing.
    """
    stages = len(orders)
    # The fifth count is never reached; it feeds the first part of stage 0.
    counts = [[0] * len(_PARTS) + [len(orders[0])] for _ in orders]
    feeder = [
        [_feeder(stage, stages, part) for part in range(len(_PARTS))] for stage in range(stages)
    ]
    rows: list[list[Step]] = [[] for _ in orders]
    due: list[deque[Step]] = [deque() for _ in orders]
    at, room = [0] * stages, [kept] * stages
    total = sum(3 * len(order) // 2 for order in orders)
    while total:
        ran = []
        for stage, order in enumerate(orders):
            if at[stage] < len(order):
                part = order[at[stage]]
                source, of = feeder[stage][part]
                if counts[source][of] > counts[stage][part] and (part > 1 or room[stage]):
                    ran.append((stage, part))
                    continue
            if due[stage]:
                rows[stage].append(due[stage].popleft())
                room[stage] += 1
                total -= 1
        for stage, part in ran:
            kind, chunk = _PARTS[part]
            microbatch = counts[stage][part]
            rows[stage].append((kind, chunk, microbatch))
            counts[stage][part] += 1
            at[stage] += 1
            if kind is F:
                room[stage] -= 1
            else:
                due[stage].append((W, chunk, microbatch))
        total -= len(ran)
    return rows


def _feeder(stage: int, stages: int, part: int) -> tuple[int, int]:
    """The stage and part whose result a part of a stage consumes."""
    before = stage - 1 if part in (0, 2) else stage + 1
    if 0 <= before < stages:
        return before, part
    return stage, part - 1 if part else len(_PARTS)


def _schedule(name: str, rows: list[list[Step]], num_microbatches: int) -> Schedule:
    steps = np.array(rows, dtype=np.int32)
    return Schedule(
        name=name,
        stages=len(rows),
        virtual_stages=2,
        num_microbatches=num_microbatches,
        placement=vee(len(rows)),
        codes=encode(
            steps[..., 0],
            steps[..., 1],
            steps[..., 2],
            virtual_stages=2,
            num_microbatches=num_microbatches,
        ),
        steady=np.zeros((len(rows), 2), dtype=np.int32),
    )
