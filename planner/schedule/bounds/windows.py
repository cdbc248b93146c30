"""The steady cycle of `1f1b` with unequal stages and links, and the lower bound that follows from
it.

Max-plus analysis: the schedule fixes the order of passes on a stage, so the time per microbatch is
the largest mean over the loops in its graph, and these loops are windows of consecutive stages.
Letters: p stages, m microbatches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.bounds.closed_form import before, before_it, boundaries, stages_first

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from planner.arrays import Floats, Ints


def cycle_s(
    forward_s: ArrayLike,
    backward_s: ArrayLike,
    forward_send_s: ArrayLike = 0.0,
    backward_send_s: ArrayLike = 0.0,
    *,
    blocking: bool = True,
) -> Floats:
    """[...]: exact seconds per microbatch of `1f1b` in its steady phase.

    `forward_s`, `backward_s` [..., p]; sends [..., p − 1]. The result is the largest mean over
    windows of consecutive stages: a microbatch goes forward through the window and back while the
    stages before it advance by the window's length (max-plus eigenvalue). Without blocking, the
    busiest direction of a link counts too.
    """
    windows = _Windows.of(forward_s, backward_s, forward_send_s, backward_send_s, blocking)
    means = (
        (windows.loop_s(first) / windows.column(windows.lengths(first))).max(axis=0)
        for first in range(windows.stages)
    )
    best = reduce(np.maximum, means)
    links = np.maximum(windows.forward_send, windows.backward_send).max(axis=0)
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
    """[...]: lower bound on the span of `1f1b`, from the loops of `cycle_s` run as often as m
    allows.

    Shapes as in `cycle_s`, `num_microbatches` [...]. It is much tighter than `span_lower_bound`
    when sends take time, for O(p²) work where that takes O(p).
    """
    m = np.asarray(num_microbatches, dtype=np.float64)
    windows = _Windows.of(
        forward_s, backward_s, forward_send_s, backward_send_s, blocking, axes=m.ndim
    )
    return np.asarray(
        reduce(np.maximum, (windows.bound_s(first, m) for first in range(windows.stages)))
    )


def critical_paths(
    forward_s: Floats, backward_s: Floats, *, num_microbatches: int, blocking: bool = True
) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Paths that bound a step of `1f1b` from below, as sums over the boundaries: seconds with free
    sends, [W], and how often each boundary is crossed forward and backward, [W, p − 1] each; and
    whether a path passes the last backwards of all stages, from the last stage on, [W].

    `forward_s`, `backward_s` [p]. `window_lower_bound` is the largest of these paths. All of them
    end with the last backward of the first stage.
    """
    p = len(forward_s)
    none, unit = np.zeros((p - 1, p - 1)), np.eye(p - 1)
    every = np.broadcast_to
    work = (p, 2 * p - 1)
    windows = _Windows.of(
        every(np.asarray(forward_s)[:, None], work).T,
        every(np.asarray(backward_s)[:, None], work).T,
        np.vstack((np.zeros(p - 1), unit, none)),
        np.vstack((np.zeros(p - 1), none, unit)),
        blocking,
        axes=1,
    )
    paths = np.concatenate(
        [
            path
            for first in range(p)
            for path in windows.paths_s(first, np.asarray(num_microbatches, np.float64))
        ]
    )
    seconds = paths[:, :1]
    returns = [np.repeat((False, False, True) * 2, p - first) for first in range(p)]
    crossed = paths - seconds
    return paths[:, 0], crossed[:, 1:p], crossed[:, p:], np.concatenate(returns) & (paths[:, 0] > 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Windows:
    """Windows of consecutive stages [first, e]; methods return all e at once, [p − first, ...].

    `1f1b` warms stage s up with w_s = p − 1 − s forwards. So backward j − w_e of the window's last
    stage follows its forward j, and forward j + (length of the window) of the first stage follows
    its backward j − w_e.
    """

    axes: int
    forward: Floats
    backward: Floats
    forward_send: Floats
    backward_send: Floats
    """[p, ...]: the send over the boundary after a stage, 0 after the last."""
    forward_held: Floats
    backward_held: Floats
    """[p, ...]: how long a stage waits for the messages of its forward and of its backward."""

    @classmethod
    def of(
        cls,
        forward: ArrayLike,
        backward: ArrayLike,
        forward_send: ArrayLike,
        backward_send: ArrayLike,
        blocking: bool,
        *,
        axes: int = 0,
    ) -> _Windows:
        rows = [
            np.atleast_1d(np.asarray(values, np.float64))
            for values in (forward, backward, forward_send, backward_send)
        ]
        axes = max(axes, *(row.ndim - 1 for row in rows))
        f, b = (stages_first(row, axes) for row in rows[:2])
        cf, cb = (boundaries(row, f.shape[0], axes) for row in rows[2:])
        return cls(
            axes=axes,
            forward=f,
            backward=b,
            forward_send=cf,
            backward_send=cb,
            forward_held=cf * blocking,
            backward_held=before_it(cb) * blocking,
        )

    @property
    def stages(self) -> int:
        return int(self.forward.shape[0])

    def lengths(self, first: int) -> Floats:
        return np.arange(1.0, self.stages - first + 1)

    def column(self, values: Floats | Ints) -> Floats:
        """One number per stage, shaped to broadcast with the batch axes."""
        return np.asarray(values, np.float64).reshape(-1, *(1,) * self.axes)

    def loop_s(self, first: int) -> Floats:
        """Seconds from forward j of the first stage to its forward j + length."""
        work = self.forward[first:] + self.backward[first:]
        links = self.forward_send[first:] + self.backward_send[first:]
        loop: Floats = (
            before(work + links) + work + self.forward_held[first:] + self.backward_held[first]
        )
        return loop

    def bound_s(self, first: int, m: Floats) -> Floats:
        """[...]: the longest of the paths."""
        return np.asarray(reduce(np.maximum, (p.max(axis=0) for p in self.paths_s(first, m))))

    def paths_s(self, first: int, m: Floats) -> list[Floats]:
        """[p − first, ...] each: a window's loop, run as often as m allows. Before it comes its
        earliest possible start; after it comes the work left at either end of the window or behind
        the last stage."""
        warmup = self.column(self.stages - 1 - np.arange(first, self.stages))
        arrival = before(self.forward + self.forward_send)
        filled = arrival[first] + warmup * (self.forward + self.forward_held)[first]
        departure = before(self.backward + self.backward_send)
        there_and_back = (
            (arrival + self.forward + self.backward + departure)[-1]
            - departure[first]
            + self.backward_held[first]
        )
        return [
            *self._from(first, m, warmup, filled),
            *self._from(first, m, warmup[:1] + 1, there_and_back),
        ]

    def _from(self, first: int, m: Floats, begun: Floats, start: Floats) -> list[Floats]:
        """The same paths when forward `begun` of the first stage cannot start before `start`; 0
        where there is no such forward."""
        lengths = self.column(self.lengths(first))
        loops = np.floor((m - 1 - begun) / lengths)
        reached = begun + loops * lengths
        onward = before((self.forward + self.forward_send)[first:])
        tails = (
            self._left(slice(first, first + 1), m, reached),
            onward + self._left(slice(first, None), m, reached),
            onward[-1] + self._left(slice(-1, None), m, reached),
        )
        looped = start + loops * self.loop_s(first)
        return [np.where(loops < 0, 0.0, looped + tail) for tail in tails]

    def _left(self, stages: slice, m: Floats, reached: Floats) -> Floats:
        """Seconds from the start of forward `reached` of a stage to the end of the step."""
        warmup = self.column(np.arange(self.stages)[::-1])[stages]
        backwards = m - np.maximum(reached - warmup, 0)
        held = self.backward_held[stages]
        return np.asarray(
            (m - reached) * (self.forward + self.forward_held)[stages]
            + backwards * (self.backward[stages] + held)
            - held
            + before(self.backward + self.backward_send)[stages]
        )
