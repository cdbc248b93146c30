"""Zero-bubble orders with one chunk per stage: weight gradients fill the time that 1F1B leaves
idle.

Qi et al. 2024, "Zero Bubble Pipeline Parallelism" (arXiv:2401.10241), the handcrafted schedules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.passes import PassKind, Schedule, encode, looped

if TYPE_CHECKING:
    from planner.arrays import Ints
    from planner.schedule.rules import ScheduleSize


def handcrafted(name: str, size: ScheduleSize, *, depth: int) -> Schedule:
    """ZB-H1 (`depth` 1) and ZB-H2 (`depth` 2).

    Stage s warms up with depth·(p − 1 − s) forwards and then alternates forwards and input
    gradients. It runs each weight gradient depth·s input gradients late, so that all stages keep
    the same number of activations and input gradients reach stage 0 early.
    """
    stages, m = size.stages, int(size.num_microbatches)
    stage = np.arange(stages)[:, None]
    turn = np.arange(m, dtype=np.int32)
    begun, late = depth * (stages - 1 - stage), depth * stage
    # One turn is three places: forward, input gradient, weight gradient.
    places = np.concatenate(
        (3 * (turn - begun), 3 * (turn + 0 * stage) + 1, 3 * (turn + late) + 2), 1
    )
    codes = np.concatenate(
        [
            encode(kind, 0, turn, virtual_stages=1, num_microbatches=m)
            for kind in (PassKind.FORWARD, PassKind.BACKWARD_INPUT, PassKind.BACKWARD_WEIGHT)
        ]
    )
    return Schedule(
        name=name,
        stages=stages,
        virtual_stages=1,
        num_microbatches=m,
        placement=looped(stages, 1),
        codes=codes[np.argsort(places, axis=1)],
        steady=np.zeros((stages, 2), dtype=np.int32),
    )


def handcrafted_peak(size: ScheduleSize, *, depth: int) -> Ints:
    """[..., p, 1]: depth·(p − 1) + 1 activations on every stage, if there are that many
    microbatches."""
    kept = np.minimum(size.num_microbatches, depth * (size.stages - 1) + 1)
    return np.broadcast_to(kept[..., None, None], (*kept.shape, size.stages, 1))
