"""What every stage of a simulated schedule keeps over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.schedule.passes import PassKind

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from planner.arrays import Floats
    from planner.schedule.simulation.timeline import Timeline


class KeptMemory(NamedTuple):
    """What one stage keeps: each `level` holds from its moment until the next. Moments never
    decrease."""

    moment_s: Floats
    level: Floats

    @classmethod
    def of(cls, moment_s: Floats, changes: Floats) -> KeptMemory:
        """Builds it from `changes` at moments, leaving out moments at which nothing changes.
        Changes at the same moment all stay, in the order of the passes: what one frees is available
        to the next."""
        change = changes.ravel()
        happens = change != 0
        return cls(moment_s[happens], np.cumsum(change[happens]))

    @property
    def peak(self) -> float:
        return float(self.level.max(initial=0.0))


def kept_memory(
    timeline: Timeline, weights: ArrayLike, shared: ArrayLike = 0.0
) -> tuple[KeptMemory, ...]:
    """What every stage keeps over time, stage by stage.

    A forward of chunk c of stage s allocates `weights` [p, v] (bytes, for example) when it
    starts. Its backward, or the weight half of a split one, frees it when it ends. A vocabulary
    pass allocates `shared` [p] until the pass of its gradients ends. The largest level of a
    stage equals `inflight.peak_weighted` when `shared` is 0.
    """
    schedule = timeline.schedule
    shape = (schedule.stages, schedule.virtual_stages)
    chunk = np.broadcast_to(np.asarray(weights, dtype=np.float64), shape)
    vocabulary = np.broadcast_to(np.asarray(shared, dtype=np.float64), shape[:1])[:, None]
    kinds, split = schedule.kinds, schedule.splits_backward
    last = PassKind.BACKWARD_WEIGHT if split else PassKind.BACKWARD
    size = np.take_along_axis(chunk, schedule.chunks.astype(np.int64), 1)
    gained = np.select(
        [kinds == PassKind.FORWARD, kinds == PassKind.VOCAB_FORWARD], [size, vocabulary], 0.0
    )
    freed = np.select(
        [np.isin(kinds, (PassKind.BACKWARD, last)), kinds == PassKind.VOCAB_BACKWARD],
        [size, vocabulary],
        0.0,
    )
    moments = np.stack((timeline.start_s, timeline.end_s), axis=-1)
    changes = np.stack((gained, -freed), axis=-1)
    return tuple(
        KeptMemory.of(*one) for one in zip(moments.reshape(shape[0], -1), changes, strict=True)
    )
