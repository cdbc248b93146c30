"""DualPipe and DualPipeV: microbatches enter from both ends of the pipeline and meet.

DeepSeek-AI 2024, "DeepSeek-V3 Technical Report" (arXiv:2412.19437), section 3.2.1; phases of
`dualpipe.DualPipe.step` and of torch `ScheduleDualPipeV`. A forward and a backward that run there
as an overlapped pair run one after the other here; `sends="paired"` makes them start and send
together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.passes import ChunkMap, PassKind, Schedule, bidirectional, encode, vee

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.schedule.rules import ScheduleSize

F, B = PassKind.FORWARD, PassKind.BACKWARD
I, W = PassKind.BACKWARD_INPUT, PassKind.BACKWARD_WEIGHT  # noqa: E741 - as the sources name them

Step = tuple[PassKind, int, int]
"""Kind, chunk or side, microbatch."""


def dualpipe(size: ScheduleSize) -> Schedule:
    """Stage s holds the layers of stages s (chunk 0) and p − 1 − s (chunk 1), so that every
    parameter is held twice. Half of the microbatches enter at stage 0 and half at stage p − 1."""
    stages, m = size.stages, int(size.num_microbatches)
    half = stages // 2
    rows, steady = [], []
    for stage in range(stages):
        near = 0 if stage < half else 1
        row, pairs = _phases(min(stage, stages - 1 - stage), half, m // 2)
        steady.append(pairs)
        # Chunk 1 runs the second half of the microbatches.
        rows.append(
            [
                (kind, side ^ near, microbatch + m // 2 * (side ^ near))
                for kind, side, microbatch in row
            ]
        )
    return _schedule("dualpipe", rows, steady, m, bidirectional(stages))


def dualpipe_v(size: ScheduleSize) -> Schedule:
    """The first half of DualPipe on twice as many stages, cut and folded: chunk 1 of a stage does
    the work of the other half, and every parameter is held once."""
    m = int(size.num_microbatches)
    rows, steady = zip(
        *(_phases(stage, size.stages, m) for stage in range(size.stages)), strict=True
    )
    return _schedule("dualpipe-v", rows, steady, m, vee(size.stages))


def _phases(stage: int, half: int, count: int) -> tuple[list[Step], tuple[int, int]]:
    """The order of one stage in the first `half`, as kind, side and microbatch of that side, and
    the indices between which pairs run. Side 0 enters at this end; each side has `count`
    microbatches."""
    done = {(kind, side): 0 for kind in (F, B) for side in (0, 1)}
    due: list[tuple[int, int]] = []
    row: list[Step] = []

    def run(kind: PassKind, side: int) -> None:
        counter = (F if kind is F else B, side)
        row.append((kind, side, done[counter]))
        if kind is I:
            due.append((side, done[counter]))
        done[counter] += 1

    def weights() -> None:
        row.append((W, *due.pop(0)))

    below = half - 1 - stage
    for _ in range(2 * below):
        run(F, 0)
    for _ in range(stage + 1):
        run(F, 0)
        run(F, 1)
    for _ in range(below):
        run(I, 1)
        weights()
        run(F, 1)
    first = len(row)
    for _ in range(count - 2 * half + stage + 1):
        run(F, 0)
        run(B, 1)
        run(F, 1)
        run(B, 0)
    for _ in range(below):
        run(B, 1)
        run(F, 1)
        run(B, 0)
    stop = len(row)
    for index in range(2 * (stage + 1)):
        run(I if index > stage else B, 1 - index % 2)
    for _ in range(below):
        weights()
        run(I, 0)
    for _ in range(stage + 1):
        weights()
    return row, (first, stop)


def _schedule(
    name: str,
    rows: Sequence[list[Step]],
    steady: Sequence[tuple[int, int]],
    num_microbatches: int,
    placement: ChunkMap,
) -> Schedule:
    """Builds the schedule. Rows that split fewer backwards are shorter; they end with idle
    passes."""
    length = max(len(row) for row in rows)
    idle = (PassKind.IDLE, 0, 0)
    steps = np.array([row + [idle] * (length - len(row)) for row in rows], dtype=np.int32)
    return Schedule(
        name=name,
        stages=len(rows),
        virtual_stages=2,
        num_microbatches=num_microbatches,
        placement=placement,
        codes=encode(
            steps[..., 0],
            steps[..., 1],
            steps[..., 2],
            virtual_stages=2,
            num_microbatches=num_microbatches,
        ),
        steady=np.array(steady, dtype=np.int32),
    )
