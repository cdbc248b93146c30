"""Times of schedules without simulation: lower bounds and the bubble.

Everything broadcasts over leading batch axes. Letters: p stages, v chunks of a stage, V = p·v
virtual stages in looped placement (chunk c of stage s is c·p + s), m microbatches, f and b seconds
of a forward and a backward, cf and cb seconds of a send over the boundary after a virtual stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import RuleError
from planner.schedule.registry import kind_of
from planner.schedule.rules import ScheduleSize

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from planner.arrays import Floats
    from planner.schedule.graph.compile import Sends


def bubble_fraction(
    name: str, *, stages: int, virtual_stages: int = 1, num_microbatches: ArrayLike
) -> Floats:
    """[...]: idle fraction of the step for uniform stages and free sends, reductions left out.

    Raises RuleError("schedule") for a schedule without a closed form.
    """
    kind = kind_of(name)
    if kind.bubble_fraction is None:
        raise RuleError("schedule", f"{name} has no closed form of its bubble; simulate it")
    return kind.bubble_fraction(ScheduleSize.of(stages, virtual_stages, num_microbatches, None))


def span_lower_bound(
    forward_s: ArrayLike,
    backward_s: ArrayLike,
    forward_send_s: ArrayLike = 0.0,
    backward_send_s: ArrayLike = 0.0,
    *,
    num_microbatches: ArrayLike,
    sends: Sends = "asynchronous",
    reduction_s: ArrayLike = 0.0,
) -> Floats:
    """[...]: lower bound on the span of any schedule with looped placement and whole backwards.

    `forward_s`, `backward_s` [..., p, v]; sends [..., V − 1]; `reduction_s` [..., p];
    `num_microbatches` [...]. The bound is the largest of two kinds of paths. For every stage: its
    first work arrives, it does all its work, its last result travels back to the first stage. For
    every link: the first message can leave, all messages pass one by one, the last one is
    processed. The bound equals the span of `gpipe` and `1f1b`, and of `interleaved` with whole
    groups, for uniform stages and free sends.
    """
    f, b = np.asarray(forward_s, np.float64), np.asarray(backward_s, np.float64)
    m, reduction = np.asarray(num_microbatches, np.float64), np.atleast_1d(reduction_s)
    sends_s = (np.atleast_1d(forward_send_s), np.atleast_1d(backward_send_s))
    axes = max(m.ndim, f.ndim - 2, b.ndim - 2, *(row.ndim - 1 for row in (*sends_s, reduction)))
    chunks = _Chunks.of(f, b, *sends_s, axes=axes)
    reduction = stages_first(reduction, axes)

    work = m * (chunks.forward_sum + chunks.backward_sum)
    stage = chunks.arrival + work + chunks.held_s(m, sends) + chunks.after_s(reduction)
    bound: Floats = stage.max(axis=0)
    if chunks.stages == 1:
        return bound
    slowest: Floats = chunks.links_s(m).max(axis=0) + reduction[0]
    return np.maximum(bound, slowest)


def work_lower_bound(
    name: str,
    forward_s: ArrayLike,
    backward_s: ArrayLike,
    forward_send_s: ArrayLike = 0.0,
    *,
    num_microbatches: ArrayLike,
    reduction_s: ArrayLike = 0.0,
) -> Floats:
    """[...]: lower bound on the span of the named schedule, whatever its order and placement.

    Shapes as in `span_lower_bound`, which is tighter where it holds. The bound is the largest over
    all stages of: its first work arrives, it does all its work, it reduces. It includes nothing
    after that, since a stage may end with weight gradients that nothing waits for.
    """
    f, b = np.asarray(forward_s, np.float64), np.asarray(backward_s, np.float64)
    stages, chunks = f.shape[-2:]
    placement = kind_of(name).placement(stages, chunks)
    m = np.asarray(num_microbatches, dtype=np.float64)[..., None] / len(placement.starts)
    work = m * (f + b).sum(axis=-1) + np.asarray(reduction_s, dtype=np.float64)
    if len(placement.starts) == 1:
        send = np.broadcast_to(
            forward_send_s, (*np.shape(forward_send_s)[:-1], stages * chunks - 1)
        )
        way = f[..., :-1, 0] + send[..., : stages - 1]
        work = work + np.concatenate((np.zeros((*way.shape[:-1], 1)), np.cumsum(way, -1)), axis=-1)
    bound: Floats = work.max(axis=-1)
    return bound


@dataclass(frozen=True, kw_only=True, eq=False)
class _Chunks:
    """The sums of durations that the bound needs; every array is [p, ...].

    `_sum` is over the chunks of a stage, `first_` is chunk 0, `last_` is chunk v − 1. A send
    belongs to the boundary after a virtual stage; after the last one it is 0.
    """

    stages: int
    forward_sum: Floats
    backward_sum: Floats
    forward_send_sum: Floats
    backward_send_sum: Floats
    first_forward: Floats
    first_backward: Floats
    first_forward_send: Floats
    first_backward_send: Floats
    last_forward_way: Floats
    last_backward_way: Floats
    """Pass and send together."""

    @classmethod
    def of(
        cls,
        forward: Floats,
        backward: Floats,
        forward_send: Floats,
        backward_send: Floats,
        *,
        axes: int,
    ) -> _Chunks:
        stages, chunks = forward.shape[-2:]
        f, b = (
            np.split(stages_first(_joined(values), axes), chunks) for values in (forward, backward)
        )
        cf, cb = (
            np.split(boundaries(send, stages * chunks, axes), chunks)
            for send in (forward_send, backward_send)
        )
        return cls(
            stages=stages,
            forward_sum=sum(f[1:], f[0]),
            backward_sum=sum(b[1:], b[0]),
            forward_send_sum=sum(cf[1:], cf[0]),
            backward_send_sum=sum(cb[1:], cb[0]),
            first_forward=f[0],
            first_backward=b[0],
            first_forward_send=cf[0],
            first_backward_send=cb[0],
            last_forward_way=f[-1] + cf[-1],
            last_backward_way=b[-1] + cb[-1],
        )

    @cached_property
    def arrival(self) -> Floats:
        """Seconds from the start of a microbatch until it reaches chunk 0 of a stage."""
        return before(self.first_forward + self.first_forward_send)

    def after_s(self, reduction: Floats) -> Floats:
        """Seconds from the last backward of a stage until that stage and those before it are done
        and reduced."""
        way = self.first_backward + self.first_backward_send
        after = np.empty_like(way + reduction)
        after[0] = reduction[0]
        for stage in range(1, self.stages):
            own = reduction[min(stage, len(reduction) - 1)]
            after[stage] = np.maximum(after[stage - 1] + way[stage - 1], own)
        return after

    def held_s(self, m: Floats, sends: Sends) -> Floats:
        """Seconds that a stage waits for its own messages before its last pass."""
        if sends in ("asynchronous", "overlapped") or self.stages == 1:
            return np.zeros_like(self.arrival)
        forward = m * self.forward_send_sum
        last = before_it(self.first_backward_send)
        backward = m * np.roll(self.backward_send_sum, 1, axis=0) - last
        return np.maximum(forward, backward) if sends == "paired" else forward + backward

    def links_s(self, m: Floats) -> Floats:
        """[p − 1, ...]: paths in which a link between neighbours passes all messages of one
        direction, one by one.

        Before the first and after the last of these messages, a microbatch travels the rest of the
        way alone.
        """
        there = (self.forward_sum + self.forward_send_sum).sum(axis=0)
        back = (self.backward_sum + self.backward_send_sum).sum(axis=0)
        first = self.arrival + self.first_forward
        rest = before(self.last_forward_way[::-1])[::-1]
        forward = first + m * self.forward_send_sum + rest + back
        first = before(self.last_backward_way[::-1])[::-1]
        rest = self.first_backward + before(self.first_backward + self.first_backward_send)
        backward = there + first + m * self.backward_send_sum + rest
        slower: Floats = np.maximum(forward, backward)[:-1]
        return slower


def stages_first(values: Floats, axes: int) -> Floats:
    """Transposes [..., p] with `axes` batch axes to [p, ...], so that arithmetic runs along the
    batch."""
    moved = values.transpose(values.ndim - 1, *range(values.ndim - 1))
    missing = axes + 1 - values.ndim
    return np.ascontiguousarray(moved.reshape(len(moved), *(1,) * missing, *moved.shape[1:]))


def _joined(values: Floats) -> Floats:
    """[..., p, v] as [..., v·p]: all stages of a chunk follow each other."""
    return values.swapaxes(-1, -2).reshape(*values.shape[:-2], -1)


def boundaries(send_s: Floats, virtual: int, axes: int) -> Floats:
    """[V, ...]: sends, given as [..., V − 1] or as [1] for all of them, with 0 after the last
    virtual stage."""
    sends = np.broadcast_to(send_s, (*send_s.shape[:-1], virtual - 1))
    sends = stages_first(sends, axes)
    return np.concatenate((sends, np.zeros((1, *sends.shape[1:]))))


def before(values: Floats) -> Floats:
    """The sum of everything before each entry of the first axis."""
    total = np.zeros_like(values)
    for entry in range(1, len(values)):  # several times faster than cumsum along this axis
        total[entry] = total[entry - 1] + values[entry - 1]
    return total


def before_it(values: Floats) -> Floats:
    """The entry before each entry of the first axis; 0 before the first."""
    return np.concatenate((np.zeros_like(values[:1]), values[:-1]))
