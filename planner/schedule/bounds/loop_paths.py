"""Paths through interleaved schedules: rows that bound the step linearly in the times of chunks.

A microbatch comes to a stage, forward or on its way back. The stage does all passes from there to
its last ones of a chunk, in its order. The last microbatch then goes the rest of its way, or the
stage ends with its gradient reduction. Letters:
J paths, p stages, v chunks of a stage, V = p · v chunks in the order in which a microbatch visits
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.passes import PassKind

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.schedule.graph.compile import Sends
    from planner.schedule.passes import Schedule


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoopPaths:
    """How often each path runs the forwards and backwards of every chunk, [J, V], and every send,
    [J, V − 1] each way; the stage whose order it follows and the one with whose reduction it ends,
    [J]. `waits`: whether stages wait for their own messages there and back."""

    forward: Floats
    backward: Floats
    forward_sends: Floats
    backward_sends: Floats
    stage: Ints
    end: Ints
    waits: tuple[bool, bool]

    def __len__(self) -> int:
        return len(self.stage)

    def some(self, which: Ints) -> LoopPaths:
        return LoopPaths(
            forward=self.forward[which],
            backward=self.backward[which],
            forward_sends=self.forward_sends[which],
            backward_sends=self.backward_sends[which],
            stage=self.stage[which],
            end=self.end[which],
            waits=self.waits,
        )

    def joined(self, more: LoopPaths) -> LoopPaths:
        """With those of `more`, of the same schedule."""
        return LoopPaths(
            forward=np.concatenate((self.forward, more.forward)),
            backward=np.concatenate((self.backward, more.backward)),
            forward_sends=np.concatenate((self.forward_sends, more.forward_sends)),
            backward_sends=np.concatenate((self.backward_sends, more.backward_sends)),
            stage=np.concatenate((self.stage, more.stage)),
            end=np.concatenate((self.end, more.end)),
            waits=self.waits,
        )

    def each(self, stages: int) -> AveragePaths:
        """Every path as an average of its own."""
        stage_of = np.arange(self.forward.shape[1]) % stages
        return AveragePaths(
            forward=self.forward,
            backward=self.backward,
            forward_sends=self.forward_sends,
            backward_sends=self.backward_sends,
            at_stage=(self.stage[:, None] == stage_of).astype(np.float64),
            at_end=(self.end[:, None] == stage_of).astype(np.float64),
            waits=self.waits,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AveragePaths:
    """The same of averages of paths, [A, V] and [A, V − 1]; `at_stage` and `at_end` [A, V]: the
    shares of the paths that follow the order of a chunk's stage, and of those that end with its
    reduction."""

    forward: Floats
    backward: Floats
    forward_sends: Floats
    backward_sends: Floats
    at_stage: Floats
    at_end: Floats
    waits: tuple[bool, bool]

    def averaged(self, shares: Floats) -> AveragePaths:
        """The one average of these, [A], with such shares."""
        return AveragePaths(
            forward=shares[None] @ self.forward,
            backward=shares[None] @ self.backward,
            forward_sends=shares[None] @ self.forward_sends,
            backward_sends=shares[None] @ self.backward_sends,
            at_stage=shares[None] @ self.at_stage,
            at_end=shares[None] @ self.at_end,
            waits=self.waits,
        )

    def groups_more(self, microbatches: Floats) -> Floats:
        """[A, V]: passes in addition where whole groups add so many `microbatches` [A or 1]: those
        of a path's stage, whose steady phase is longer by them."""
        return np.asarray(microbatches[:, None] * self.at_stage)


def loop_paths(schedule: Schedule, sends: Sends) -> LoopPaths:
    """For a schedule that places its chunks in a loop and has whole backwards. Where stages wait
    for their own messages, these count: of messages that go both ways at once, the ones onward."""
    p, v = schedule.stages, schedule.virtual_stages
    place = np.arange(p * v)
    everything = np.ones(p * v, dtype=np.bool_)
    nothing = ~everything
    found: list[tuple[Floats, Floats, Floats, Floats, int, int]] = []
    for stage in range(p):
        walk = _Walk.of(schedule, stage, sends)
        for chunk in range(v):
            position = chunk * p + stage
            before, after = place < position, place > position
            begins = (
                (walk.first[0][chunk], before, nothing),
                (walk.first[1][chunk], everything, after),
            )
            ends = [
                (walk.last[1][chunk], nothing, before, 0),
                (walk.last[0][chunk], after, everything, 0),
            ]
            if chunk == 0:
                ends.append((walk.last[1][0], nothing, nothing, stage))
            for first, come_there, come_back in begins:
                for last, go_there, go_back, end in ends:
                    if last < first:
                        continue
                    there, back, sent_there, sent_back = walk.between(first, last)
                    found.append(
                        (
                            there + come_there + go_there,
                            back + come_back + go_back,
                            # A way ends with the message to what follows it.
                            sent_there + come_there[:-1] + go_there[1:],
                            sent_back + come_back[1:] + go_back[:-1],
                            stage,
                            end,
                        )
                    )
    columns = [np.array(column) for column in zip(*found, strict=True)]
    return LoopPaths(
        forward=columns[0],
        backward=columns[1],
        forward_sends=columns[2],
        backward_sends=columns[3],
        stage=columns[4],
        end=columns[5],
        waits=(sends in ("blocking", "paired"), sends == "blocking"),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Walk:
    """The order of one stage. `done` [2, n + 1, V]: forwards and backwards before each place;
    `sent` [2, n + 1, V − 1]: messages that the stage has waited for before it. `first`, `last`
    [2, v]: places of the first and the last forward and backward of every chunk."""

    done: Floats
    sent: Floats
    first: Ints
    last: Ints

    @classmethod
    def of(cls, schedule: Schedule, stage: int, sends: Sends) -> _Walk:
        p, v = schedule.stages, schedule.virtual_stages
        kinds, chunks = schedule.kinds[stage], schedule.chunks[stage]
        forward = kinds == PassKind.FORWARD
        runs = np.zeros((2, len(kinds) + 1, p * v))
        runs[np.where(forward, 0, 1), np.arange(len(kinds)) + 1, chunks * p + stage] = 1.0
        sent = np.stack((runs[0, :, :-1], runs[1, :, 1:]))
        sent[0] *= sends in ("blocking", "paired")
        sent[1] *= sends == "blocking"
        places = [
            [np.flatnonzero((chunks == chunk) & (forward == way)) for chunk in range(v)]
            for way in (True, False)
        ]
        return cls(
            done=np.cumsum(runs, axis=1),
            sent=np.cumsum(sent, axis=1),
            first=np.array([[one[0] for one in way] for way in places]),
            last=np.array([[one[-1] for one in way] for way in places]),
        )

    def between(self, first: int, last: int) -> tuple[Floats, Floats, Floats, Floats]:
        """Forwards and backwards from one place to another, both included, and the messages that
        are waited for on the way: those of the last two passes may be sent after both."""
        until = max(last - 1, first)
        there, back = self.done[:, last + 1] - self.done[:, first]
        sent_there, sent_back = self.sent[:, until] - self.sent[:, first]
        return there, back, sent_there, sent_back
