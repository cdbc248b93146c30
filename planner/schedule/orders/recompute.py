"""Recomputation as separate passes: before every backward, once its gradient has arrived."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.passes import PassKind, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planner.arrays import Ints, SmallInts


def with_recompute(schedule: Schedule, stages: Iterable[int] | None = None) -> Schedule:
    """The schedule with a RECOMPUTE pass before every BACKWARD or BACKWARD_INPUT of `stages`
    (default: all of them).

    The pass waits for the gradient, like the backward it belongs to, as in frameworks that
    recompute inside the backward pass. Times equal those of the schedule without such passes, whose
    `backward_s` includes the recomputation.
    """
    block = schedule.virtual_stages * schedule.num_microbatches
    backs = np.isin(schedule.kinds, (PassKind.BACKWARD, PassKind.BACKWARD_INPUT))
    if stages is not None:
        backs &= np.isin(np.arange(schedule.stages), list(stages))[:, None]
    added = np.cumsum(backs, axis=1, dtype=np.int64)
    count = schedule.codes.shape[1]
    codes = np.full((schedule.stages, count + int(added[:, -1].max())), PassKind.IDLE * block)
    stage = np.arange(schedule.stages)[:, None]
    moved = np.arange(count) + added
    codes[stage, moved] = schedule.codes
    at, column = np.nonzero(backs)
    which = schedule.codes[at, column] % block
    codes[at, moved[at, column] - 1] = PassKind.RECOMPUTE * block + which
    return replace(
        schedule,
        codes=codes.astype(np.int32),
        steady=_moved(schedule, added),
        places=None,
        exchanges=tuple(
            replace(exchange, before=tuple(map(_first_of_backward, exchange.before)))
            if backs[schedule.placement.last_stage].any()
            else exchange
            for exchange in schedule.exchanges
        ),
    )


def _first_of_backward(kind: PassKind) -> PassKind:
    return PassKind.RECOMPUTE if kind is PassKind.BACKWARD else kind


def _moved(schedule: Schedule, added: Ints) -> SmallInts:
    """[p, 2]: the bounds of the steady phase after `added` passes were inserted up to each pass."""
    before = np.concatenate((np.zeros((schedule.stages, 1), dtype=np.int64), added), axis=1)
    shift = np.take_along_axis(before, schedule.steady.astype(np.int64), axis=1)
    return (schedule.steady + shift).astype(np.int32)
