"""1F1B that runs ahead over slow boundaries.

In 1F1B a stage warms up with one forward for every later stage. Where a message takes long, the
receiver then idles for the round trip of every microbatch. This order lets the stages before such a
boundary run ahead by as many microbatches as fit the round trip, and only there. It needs sends
that nobody waits for: then the step takes the time of the slowest stage or link per microbatch. It
keeps the activations of the microbatches ahead.

Letters: p stages, T seconds of the slowest stage's forward and backward, c and c' seconds of a
message over a boundary and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.orders.alternating import one_forward_one_backward_warmup

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.schedule.rules import ScheduleSize

WORTHWHILE = 0.05
"""Share of T that a round trip must take to be worth the memory of a microbatch."""


def microbatches_ahead(stage_s: Floats, forward_send_s: Floats, backward_send_s: Floats) -> Ints:
    """[..., p − 1]: microbatches that stages run ahead over every boundary,
    ⌈(c + c') / max(T, c, c')⌉; 0 where the round trip is short.

    `stage_s` [..., p]: forward and backward of a microbatch; sends [..., p − 1]. At best, a link
    passes one message per max(T, c, c'); this is how many messages are then under way at once.
    """
    slowest_s = stage_s.max(axis=-1)[..., None]
    round_trip_s = forward_send_s + backward_send_s
    pace_s = np.maximum(slowest_s, np.maximum(forward_send_s, backward_send_s))
    under_way = np.ceil(round_trip_s / pace_s * (1 - 1e-12))
    worth = round_trip_s >= WORTHWHILE * slowest_s
    return np.asarray(np.where(worth, under_way, 0), dtype=np.int64)


def warmup(size: ScheduleSize) -> Ints:
    """[..., p]: one forward for every later stage, and the microbatches ahead over every boundary
    after the stage."""
    even = one_forward_one_backward_warmup(size)
    if size.ahead is None or size.stages == 1:
        return even
    after = np.flip(np.cumsum(np.flip(size.ahead, axis=-1), axis=-1), axis=-1)
    none = np.zeros((*after.shape[:-1], 1), dtype=np.int64)
    return np.asarray(even + np.concatenate((after, none), axis=-1))
