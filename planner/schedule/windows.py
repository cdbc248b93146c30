"""The steady cycle of `1f1b` with unequal stages and links, and the lower bound that follows.

Max-plus analysis: the schedule fixes which pass follows which on a stage, so the time per
microbatch is the largest mean of a loop in its graph, and the loops are windows of consecutive
stages. Letters: p stages, m microbatches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.closed_form import Chunks, before

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from planner.schedule.arrays import Floats, Ints


def cycle_s(
    forward_s: ArrayLike,
    backward_s: ArrayLike,
    forward_send_s: ArrayLike = 0.0,
    backward_send_s: ArrayLike = 0.0,
    *,
    blocking: bool = True,
) -> Floats:
    """[...]: seconds per microbatch of `1f1b` in its steady phase, exactly.

    `forward_s`, `backward_s` [..., p]; sends [..., p − 1]. The largest mean over windows of
    consecutive stages: a microbatch goes forward through the window and back while the stages
    before it advance by the window's length (max-plus eigenvalue). Without blocking also the
    busiest direction of a link.
    """
    windows = _Windows.of(forward_s, backward_s, forward_send_s, backward_send_s, blocking)
    best = np.stack(
        [
            (windows.loop_s(first) / windows.lengths(first)).max(axis=-1)
            for first in range(windows.stages)
        ]
    ).max(axis=0)
    links = np.maximum(windows.forward_send, windows.backward_send).max(axis=-1)
    return np.asarray(best if blocking else np.maximum(best, links))


def window_lower_bound(
    forward_s: ArrayLike,
    backward_s: ArrayLike,
    forward_send_s: ArrayLike = 0.0,
    backward_send_s: ArrayLike = 0.0,
    *,
    num_microbatches: ArrayLike,
    blocking: bool = True,
) -> Floats:
    """[...]: a span `1f1b` cannot beat, from the loops of `cycle_s` run as often as m allows.

    Shapes as in `cycle_s`, `num_microbatches` [...]. Sharper than `span_lower_bound` when sends
    take time; O(p²) instead of O(p).
    """
    windows = _Windows.of(forward_s, backward_s, forward_send_s, backward_send_s, blocking)
    m = np.asarray(num_microbatches, dtype=np.float64)[..., None]
    bounds = [windows.bound_s(first, m).max(axis=-1) for first in range(windows.stages)]
    best: Floats = np.stack(bounds).max(axis=0)
    return best


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Windows:
    """Windows of consecutive stages [first, e]; every method gives all e at once, [..., p − first].

    `1f1b` warms stage s up with w_s = p − 1 − s forwards, so backward j − w_e of the window's last
    stage follows its forward j, and forward j + (length of the window) of the first stage follows
    backward j − w_e of it.
    """

    forward: Floats
    backward: Floats
    forward_send: Floats
    backward_send: Floats
    """[..., p]: the send over the boundary after a stage, 0 after the last."""
    forward_held: Floats
    backward_held: Floats
    """[..., p]: how long a stage waits for the message of its forward, of its backward."""

    @classmethod
    def of(
        cls,
        forward: ArrayLike,
        backward: ArrayLike,
        forward_send: ArrayLike,
        backward_send: ArrayLike,
        blocking: bool,
    ) -> _Windows:
        one = Chunks.of(
            np.asarray(forward)[..., None],
            np.asarray(backward)[..., None],
            forward_send,
            backward_send,
        )
        shape = np.broadcast_shapes(
            one.forward.shape,
            one.backward.shape,
            one.forward_send.shape,
            one.backward_send.shape,
        )
        parts = [
            np.broadcast_to(part, shape)
            for part in (one.forward, one.backward, one.forward_send, one.backward_send)
        ]
        upward = np.concatenate((np.zeros((*shape[:-1], 1)), parts[3][..., :-1]), axis=-1)
        return cls(
            forward=parts[0],
            backward=parts[1],
            forward_send=parts[2],
            backward_send=parts[3],
            forward_held=parts[2] * blocking,
            backward_held=upward * blocking,
        )

    @property
    def stages(self) -> int:
        return int(self.forward.shape[-1])

    def lengths(self, first: int) -> Floats:
        return np.arange(1.0, self.stages - first + 1)

    def loop_s(self, first: int) -> Floats:
        """From forward j of the first stage to its forward j + length."""
        work = np.cumsum((self.forward + self.backward)[..., first:], axis=-1)
        links = before((self.forward_send + self.backward_send)[..., first:])
        held = self.forward_held[..., first:] + self.backward_held[..., first : first + 1]
        return work + links + held

    def bound_s(self, first: int, m: Floats) -> Floats:
        """The loop repeated as often as m allows, after the earliest it can start and before the
        work that is left at either end of the window or behind the last stage."""
        warmup = self.stages - 1 - np.arange(first, self.stages)
        arrival = self._arrival(first)
        filled = arrival + warmup * self._at(first, self.forward + self.forward_held)
        there_and_back = (
            self._arrival(self.stages - 1)
            + self._at(self.stages - 1, self.forward + self.backward + self._departure)
            - self._at(first, self._departure)
            + self._at(first, self.backward_held)
        )
        return np.maximum(
            self._from(first, m, warmup, filled),
            self._from(first, m, warmup[:1] + 1, there_and_back),
        )

    def _from(self, first: int, m: Floats, begun: Ints, start: Floats) -> Floats:
        """The same when forward `begun` of the first stage cannot start before `start`; 0 where
        there is no such forward."""
        lengths = self.lengths(first)
        loops = np.floor((m - 1 - begun) / lengths)
        reached = begun + loops * lengths
        onward = before(self.forward + self.forward_send)[..., first:]
        onward = onward - onward[..., :1]
        last = self.stages - 1
        tail = np.maximum.reduce(
            [
                self._left(np.array([first]), m, reached),
                onward + self._left(np.arange(first, self.stages), m, reached),
                onward[..., -1:] + self._left(np.array([last]), m, reached),
            ]
        )
        return np.where(loops < 0, 0.0, start + loops * self.loop_s(first) + tail)

    @property
    def _departure(self) -> Floats:
        return before(self.backward + self.backward_send)

    @staticmethod
    def _at(stage: int, values: Floats) -> Floats:
        return values[..., stage : stage + 1]

    def _arrival(self, stage: int) -> Floats:
        return self._at(stage, before(self.forward + self.forward_send))

    def _left(self, stage: Ints, m: Floats, reached: Floats) -> Floats:
        """From the start of forward `reached` of `stage` to the end of the step."""
        backwards = m - np.maximum(reached - (self.stages - 1 - stage), 0)
        held = self.backward_held[..., stage]
        return (
            (m - reached) * (self.forward + self.forward_held)[..., stage]
            + backwards * (self.backward[..., stage] + held)
            - held
            + self._departure[..., stage]
        )
