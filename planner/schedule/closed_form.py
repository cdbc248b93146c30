"""Times of schedules without simulating: a lower bound and the bubble.

Everything broadcasts over leading batch axes. Letters: p stages, v chunks of a stage, V = p·v
virtual stages in looped placement (chunk c of stage s is c·p + s), m microbatches, f and b seconds
of a forward and a backward, cf and cb seconds of a send over the boundary after a virtual stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import RuleError
from planner.schedule.registry import kind_of
from planner.schedule.rules import Size

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from planner.schedule.arrays import Floats
    from planner.schedule.graph import Sends


def bubble_fraction(
    name: str, *, stages: int, virtual_stages: int = 1, num_microbatches: ArrayLike
) -> Floats:
    """[...]: idle fraction of the step for uniform stages and free sends, reductions left out.

    Raises RuleError("schedule") for a schedule without a closed form.
    """
    kind = kind_of(name)
    if kind.bubble_fraction is None:
        raise RuleError("schedule", f"{name} has no closed form of its bubble; simulate it")
    return kind.bubble_fraction(Size.of(stages, virtual_stages, num_microbatches, None))


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
    """[...]: a span no schedule of looped placement with whole backwards can beat.

    `forward_s`, `backward_s` [..., p, v]; sends [..., V − 1]; `reduction_s` [..., p];
    `num_microbatches` [...]. The largest of, over all stages: its first work arrives, it does all
    its work, its last result travels back to the first stage; and over all links: the first
    message can leave, all messages pass one by one, the last one is worked off. Equal to the span
    of `gpipe` and `1f1b`, and of `interleaved` with whole groups, for uniform stages and free
    sends.
    """
    chunks = Chunks.of(forward_s, backward_s, forward_send_s, backward_send_s)
    m = np.asarray(num_microbatches, dtype=np.float64)[..., None]
    stages = chunks.stages

    held = chunks.held_s(m, sends)
    finished = chunks.arrival[..., :stages] + m * chunks.work + held
    drain = chunks.departure[..., :stages]
    reduction = np.asarray(reduction_s, dtype=np.float64)
    reduction = np.broadcast_to(reduction, np.broadcast_shapes(reduction.shape, drain.shape))
    # The result of stage i reaches stage q <= i, whose reduction then follows.
    after = drain + np.maximum.accumulate(reduction - drain, axis=-1)
    bound: Floats = (finished + after).max(axis=-1)
    if stages == 1:
        return bound
    return np.maximum(bound, chunks.link_bound(m) + reduction[..., 0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunks:
    """Durations by virtual stage, and their sums along the model."""

    stages: int
    forward: Floats
    backward: Floats
    forward_send: Floats
    backward_send: Floats
    """[..., V]: the send after the last virtual stage is 0."""

    @classmethod
    def of(cls, forward: ArrayLike, backward: ArrayLike, *sends: ArrayLike) -> Chunks:
        looped = [
            np.swapaxes(values, -1, -2).reshape(*values.shape[:-2], -1)
            for values in (np.asarray(forward, np.float64), np.asarray(backward, np.float64))
        ]
        stages, chunks = np.shape(forward)[-2:]
        padded = []
        for values in sends:
            array = np.asarray(values, np.float64)
            boundaries = stages * chunks - 1
            shape = (*array.shape[:-1], boundaries) if array.ndim else (boundaries,)
            array = np.broadcast_to(array, shape)
            padded.append(np.concatenate((array, np.zeros((*array.shape[:-1], 1))), axis=-1))
        return cls(
            stages=stages,
            forward=looped[0],
            backward=looped[1],
            forward_send=padded[0],
            backward_send=padded[1],
        )

    @property
    def work(self) -> Floats:
        """[..., p]: both passes of one microbatch through all chunks of a stage."""
        return self.by_stage(self.forward + self.backward)

    @property
    def arrival(self) -> Floats:
        """[..., V]: from the start of a microbatch until its input is at a virtual stage."""
        return before(self.forward + self.forward_send)

    @property
    def departure(self) -> Floats:
        """[..., V]: from the end of a backward until the microbatch has left the pipeline."""
        return before(self.backward + self.backward_send)

    def by_stage(self, values: Floats) -> Floats:
        """[..., p]: sum over the chunks of a stage."""
        total: Floats = values.reshape(*values.shape[:-1], -1, self.stages).sum(axis=-2)
        return total

    def held_s(self, m: Floats, sends: Sends) -> Floats:
        """[..., p]: time a stage waits for its own messages before its last pass."""
        if sends in ("asynchronous", "overlapped") or self.stages == 1:
            return np.zeros(self.stages)
        forward = m * self.by_stage(self.forward_send)
        incoming = np.concatenate(
            (np.zeros_like(self.backward_send[..., :1]), self.backward_send[..., :-1]), axis=-1
        )
        backward = m * self.by_stage(incoming) - incoming[..., : self.stages]
        if sends == "paired":
            return np.maximum(forward, backward)
        return forward + backward

    def link_bound(self, m: Floats) -> Floats:
        """[...]: the slowest link between neighbours passes all its messages one by one."""
        stages, last = self.stages, slice(-self.stages, -1)
        arrival, departure = self.arrival, self.departure
        there = (arrival + self.forward)[..., -1:]
        back = (departure + self.backward)[..., -1:]
        load = m * self.by_stage(self.forward_send)[..., :-1]
        forward = (
            (arrival + self.forward)[..., : stages - 1]
            + load
            + there
            - (arrival + self.forward + self.forward_send)[..., last]
            + back
        )
        load = m * self.by_stage(self.backward_send)[..., :-1]
        backward = (
            there
            + back
            - (departure + self.backward + self.backward_send)[..., last]
            + load
            + (departure + self.backward)[..., : stages - 1]
        )
        slowest: Floats = np.maximum(forward, backward).max(axis=-1)
        return slowest


def before(values: Floats) -> Floats:
    """Sum of everything before each entry of the last axis."""
    return np.cumsum(values, axis=-1) - values
