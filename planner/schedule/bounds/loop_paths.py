"""Paths through interleaved schedules: rows that bound the step linearly in the times of chunks.

A microbatch comes to a stage, forward or on its way back. The stage does all passes from there to
its last ones of a chunk, in its order. The last microbatch then goes the rest of its way, or the
stage ends with its gradient reduction. Whole groups of p microbatches more make each path longer by
all passes of its stage that they bring. Letters:
J paths, p stages, v chunks of a stage, V = p · v chunks in the order in which a microbatch visits
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.schedule.passes import PassKind

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.schedule.graph.compile import Sends
    from planner.schedule.passes import Schedule


class Visits(NamedTuple):
    """How often each path runs the forwards and backwards of every chunk, [J, V], and every send,
    [J, V − 1] each way."""

    forward: Floats
    backward: Floats
    forward_sends: Floats
    backward_sends: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoopPaths:
    """`visits` [J, 4 · V − 2]: the columns of `Visits`, one after the other; `cycle`: the same of
    what every p microbatches more add to each path. `end` [J]: the stage with whose reduction it
    ends."""

    visits: Floats
    cycle: Floats
    end: Ints

    def __len__(self) -> int:
        return len(self.end)

    def some(self, which: Ints) -> LoopPaths:
        return LoopPaths(visits=self.visits[which], cycle=self.cycle[which], end=self.end[which])

    @classmethod
    def joined(cls, *parts: LoopPaths) -> LoopPaths:
        """Those of one schedule together."""
        return cls(
            visits=np.concatenate([part.visits for part in parts]),
            cycle=np.concatenate([part.cycle for part in parts]),
            end=np.concatenate([part.end for part in parts]),
        )

    def longer(self, groups: Floats) -> Visits:
        """Visits with so many `groups` [J or 1] of p microbatches more, or of the only path with
        as many as each of [N] says."""
        visits = self.visits + groups[:, None] * self.cycle
        chunks = (visits.shape[1] + 2) // 4
        return Visits(*np.split(visits, (chunks, 2 * chunks, 3 * chunks - 1), axis=1))


def loop_paths(schedule: Schedule, sends: Sends) -> LoopPaths:
    """For a schedule that places its chunks in a loop and has whole backwards. Where stages wait
    for their own messages, these count: of messages that go both ways at once, the ones onward."""
    p, v = schedule.stages, schedule.virtual_stages
    place = np.arange(p * v)
    everything = np.ones(p * v, dtype=np.bool_)
    nothing = ~everything
    found: list[tuple[Floats, Floats, int]] = []
    for stage in range(p):
        walk = _Walk.of(schedule, stage, sends)
        cycle = stage_cycle(p, v, stage, sends)
        for chunk in range(v):
            position = chunk * p + stage
            before, after = place < position, place > position
            begins = (
                (walk.first[0][chunk], before, nothing),
                (walk.first[1][chunk], everything, after),
            )
            finishes = [
                (walk.last[1][chunk], nothing, before, 0),
                (walk.last[0][chunk], after, everything, 0),
            ]
            if chunk == 0:
                finishes.append((walk.last[1][0], nothing, nothing, stage))
            for first, come_there, come_back in begins:
                for last, go_there, go_back, end in finishes:
                    if last < first:
                        continue
                    there, back, sent_there, sent_back = walk.between(first, last)
                    visits = (
                        there + come_there + go_there,
                        back + come_back + go_back,
                        # A way ends with the message to what follows it.
                        sent_there + come_there[:-1] + go_there[1:],
                        sent_back + come_back[1:] + go_back[:-1],
                    )
                    found.append((np.concatenate(visits), cycle, end))
    visited, cycles, ends = (np.array(column) for column in zip(*found, strict=True))
    return LoopPaths(visits=visited, cycle=cycles, end=ends)


def stage_cycle(stages: int, chunks: int, stage: int, sends: Sends) -> Floats:
    """[4 · V − 2]: what a group of p microbatches brings to a stage, in the columns of `Visits`:
    passes, and messages that it waits for."""
    passes = np.where(np.arange(stages * chunks) % stages == stage, float(stages), 0.0)
    waits_there, waits_back = sends in ("blocking", "paired"), sends == "blocking"
    return np.concatenate((passes, passes, waits_there * passes[:-1], waits_back * passes[1:]))


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
