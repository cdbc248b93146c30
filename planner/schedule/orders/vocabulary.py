"""1F1B with the vocabulary layers shared by all stages. Every stage holds 1/p of the rows of the
embedding and of the output layer, and does its part of their work for every microbatch.

Yeung, Qi, Lin and Wan 2024, "Balancing Pipeline Parallelism with Vocabulary Parallelism"
(arXiv:2411.05288), in the orders of sail-sg/VocabularyParallelism
`forward_backward_pipelining_with_vocab_parallel` and `…_with_interlaced_schedule`. S is
VOCAB_FORWARD, T is VOCAB_BACKWARD; these passes include the input layer's share of the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.passes import Exchange, PassKind, Schedule, encode, looped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planner.arrays import Ints
    from planner.schedule.rules import ScheduleSize

F, B = PassKind.FORWARD, PassKind.BACKWARD
S, T = PassKind.VOCAB_FORWARD, PassKind.VOCAB_BACKWARD

Step = tuple[PassKind, int]
"""Kind and microbatch."""

BROADCAST = Exchange(name="vocab_broadcast", after=F, before=(S,))
"""The last stage sends its output (b·s·h) to all stages."""

ONE_BARRIER = (
    BROADCAST,
    Exchange(name="vocab_reduction", after=S, before=(B, T)),
)
"""Algorithm 2: S computes the input gradient up to its scale, so that the last stage waits only for
one all-reduce, of b·s·h and the scalars of the softmax."""

TWO_BARRIERS = (
    BROADCAST,
    Exchange(name="vocab_softmax", after=S, before=(T,)),
    Exchange(name="vocab_reduction", after=T, before=(B,), lag=1),
)
"""Algorithm 1: first the scalars, then the input gradient that T computes with them."""

INTERLACED = (
    BROADCAST,
    Exchange(name="vocab_softmax", after=S, before=(T,)),
    Exchange(name="vocab_reduction", after=T, before=(B,), holds=True),
)
"""As in tensor parallelism: all stages wait for every collective (Lin et al. 2024, nnScaler)."""


def balanced_vocabulary(name: str, size: ScheduleSize, *, barriers: int) -> Schedule:
    """1F1B with one or two more microbatches in flight (`barriers` 1 is algorithm 2), so that the
    collectives have a forward's time to finish.

    A turn is a backward, a forward, and T of one microbatch with S of the next. The places assume
    backwards that take twice as long as forwards, as the framework does before it has measured any.
    Every third stage, counted from the last, runs T and S after its forward; the others run them
    after their backward.
    """
    p, m = size.stages, int(size.num_microbatches)
    planned = max(m, p + barriers)
    rows = []
    for stage in range(p):
        below = p - 1 - stage
        late = below > 0 and below % 3 == 0
        filled = below - max(below - 1, 0) // 3
        row: list[Step] = [(F, k) for k in range(below + 1)]
        row.append((S, 0))
        for extra in range(1, barriers):
            row += [(F, below + extra), *_vocabulary(extra)]
        row.append((F, below + barriers))
        for turn in range(filled):
            row += _vocabulary(turn + barriers)
        for turn in range(planned):
            vocabulary = _vocabulary(turn + filled + barriers)
            forward = (F, turn + below + barriers + 1)
            row += [(B, turn), *((forward, *vocabulary) if late else (*vocabulary, forward))]
        rows.append([step for step in row if step[1] < m])
    return _schedule(name, rows, m, ONE_BARRIER if barriers == 1 else TWO_BARRIERS)


def _vocabulary(slot: int) -> tuple[Step, Step]:
    """The passes for the vocabulary that a stage runs in its `slot`-th place."""
    return (T, slot - 1), (S, slot)


def balanced_peak(size: ScheduleSize, *, barriers: int) -> Ints:
    """[..., p, 1]: microbatches in flight: those of 1F1B, plus one for every barrier."""
    below = size.stages - 1 - np.arange(size.stages)
    kept = np.minimum(size.num_microbatches[..., None], below + 1 + barriers)
    return np.asarray(kept[..., None])


def interlaced(size: ScheduleSize) -> Schedule:
    """1F1B in which all stages run the output layer of a microbatch at the same time; half as many
    microbatches again are in flight."""
    p, m = size.stages, int(size.num_microbatches)
    more = p // 2
    planned = max(m, p + more)
    rows = []
    for stage in range(p):
        below = p - 1 - stage
        waiting = max(more - below // 2, 0)
        row: list[Step] = [(F, k) for k in range(below + 1 + more)]
        for k in range(below + 1):
            row += [(S, k), (T, k)]
        for turn in range(planned):
            slot = turn + below + 1
            vocabulary = ((S, slot), (T, slot))
            if turn < waiting:
                row += [(B, turn), *vocabulary]
                continue
            pair = [(F, turn - waiting + below + 1 + more), (B, turn)]
            row += [*(pair if stage % 2 == p % 2 else reversed(pair)), *vocabulary]
        rows.append([step for step in row if step[1] < m])
    return _schedule("interlaced-vocab", rows, m, INTERLACED)


def interlaced_peak(size: ScheduleSize) -> Ints:
    """[..., p, 1]: microbatches in flight: on every stage p/2 more than 1F1B keeps."""
    below = size.stages - 1 - np.arange(size.stages)
    kept = np.minimum(size.num_microbatches[..., None], below + 1 + size.stages // 2)
    return np.asarray(kept[..., None])


def _schedule(
    name: str, rows: Iterable[list[Step]], num_microbatches: int, exchanges: tuple[Exchange, ...]
) -> Schedule:
    steps = np.array(list(rows), dtype=np.int32)
    stages = steps.shape[0]
    return Schedule(
        name=name,
        stages=stages,
        virtual_stages=1,
        num_microbatches=num_microbatches,
        placement=looped(stages, 1),
        codes=encode(
            steps[..., 0],
            0,
            steps[..., 1],
            virtual_stages=1,
            num_microbatches=num_microbatches,
        ),
        steady=np.zeros((stages, 2), dtype=np.int32),
        exchanges=exchanges,
    )
