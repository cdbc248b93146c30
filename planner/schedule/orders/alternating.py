"""Orders in which a stage warms up with forwards and then alternates forwards and backwards.

`gpipe`, `1f1b` and `interleaved` differ only in the warm-up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.passes import PassKind, Schedule, encode, looped

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from planner.arrays import Ints, SmallInts
    from planner.schedule.rules import ScheduleSize


def gpipe_warmup(size: ScheduleSize) -> Ints:
    """[..., p]: all forwards come before the first backward."""
    return _per_stage(size.num_microbatches * size.virtual_stages, size)


def one_forward_one_backward_warmup(size: ScheduleSize) -> Ints:
    """[..., p]: one forward for every later stage, Megatron-LM
    `forward_backward_pipelining_without_interleaving`."""
    return _per_stage(0, size) + _stages_below(size)


def interleaved_warmup(size: ScheduleSize) -> Ints:
    """[..., p]: two forwards for every later stage and a group for every further chunk, Megatron-LM
    `get_pp_rank_microbatches`."""
    return _per_stage((size.virtual_stages - 1) * size.group, size) + 2 * _stages_below(size)


def _stages_below(size: ScheduleSize) -> Ints:
    return size.stages - 1 - np.arange(size.stages)


def _per_stage(value: ArrayLike, size: ScheduleSize) -> Ints:
    shape = np.broadcast_shapes(size.num_microbatches.shape, size.group.shape)
    return np.broadcast_to(np.asarray(value, dtype=np.int64)[..., None], (*shape, size.stages))


def breadth_first(size: ScheduleSize) -> Schedule:
    """All microbatches through chunk 0, then all through chunk 1, and so on, then back.

    Lamy-Poirier 2022, "Breadth-First Pipeline Parallelism" (arXiv:2211.05953); torch
    `ScheduleLoopedBFS`.
    """
    whole = replace(size, group=size.num_microbatches)
    return alternating_schedule("looped-bfs", whole, gpipe_warmup(whole))


def alternating_schedule(name: str, size: ScheduleSize, warmup: Ints) -> Schedule:
    """Every stage runs `warmup` [p] forwards, then alternates forwards and backwards until the
    forwards run out, then runs the remaining backwards.

    GPipe is the limit in which everything is warm-up.
    """
    placement = looped(size.stages, size.virtual_stages)
    microbatches, chunks = forward_table(
        int(size.num_microbatches), size.virtual_stages, int(size.group)
    )
    virtual_stages, count = size.virtual_stages, microbatches.size
    forward, backward = (
        encode(
            kind,
            of_chunks,
            microbatches,
            virtual_stages=virtual_stages,
            num_microbatches=int(size.num_microbatches),
        )
        for kind, of_chunks in (
            (PassKind.FORWARD, chunks),
            (PassKind.BACKWARD, virtual_stages - 1 - chunks),
        )
    )

    index, stage = np.arange(count), np.arange(size.stages)[:, None]
    warm, turn = np.minimum(warmup, count)[:, None], _turns(warmup)[:, None]
    at_forward = np.where(index < warm, index, 2 * index - warm)
    at_backward = np.where(index < count - warm, warm + 2 * index + 1, count + index)
    order = np.empty((size.stages, 2 * count), dtype=np.int64)
    np.put_along_axis(order, at_forward, index[None], axis=1)
    np.put_along_axis(order, at_backward, count + index[None], axis=1)
    # Places of a lockstep run in which all passes take equally long.
    forth = np.where(index < warm, stage + index, turn + 2 * (index - warm))
    places = np.concatenate((forth, turn + 2 * index + 1), axis=1)
    return Schedule(
        name=name,
        stages=size.stages,
        virtual_stages=virtual_stages,
        num_microbatches=int(size.num_microbatches),
        placement=placement,
        codes=np.concatenate((forward, backward))[order],
        steady=np.concatenate((warm, 2 * count - warm), axis=1).astype(np.int32),
        places=np.take_along_axis(places, order, axis=1).astype(np.int32),
    )


def _turns(warmup: Ints) -> Ints:
    """[p]: the place at which each stage begins to alternate: late enough that the next stage's
    results have arrived."""
    steps = np.maximum(warmup[:-1] - warmup[1:], 1)
    later = np.append(np.cumsum(steps[::-1])[::-1], 0)
    turns: Ints = warmup.size - 1 + warmup[-1] + later
    return turns


def forward_table(
    num_microbatches: int, virtual_stages: int, group: int
) -> tuple[SmallInts, SmallInts]:
    """Microbatch and chunk of the k-th forward of every stage, each [m·v].

    A group of microbatches passes through chunk 0, then through chunk 1, and so on; the last group
    is the remainder (Megatron-LM `get_schedule_table`). The k-th backward is the same with the
    chunks reversed.
    """
    microbatch = np.arange(num_microbatches, dtype=np.int32)
    chunk = np.arange(virtual_stages, dtype=np.int32)
    full = num_microbatches // group * group
    by_group = np.broadcast_to(
        microbatch[:full].reshape(-1, 1, group), (full // group, virtual_stages, group)
    )
    rest = np.broadcast_to(microbatch[full:], (virtual_stages, num_microbatches - full))
    microbatches = np.concatenate((by_group.ravel(), rest.ravel()))
    chunks = np.concatenate(
        (
            np.broadcast_to(chunk[:, None], by_group.shape).ravel(),
            np.broadcast_to(chunk[:, None], rest.shape).ravel(),
        )
    )
    return microbatches, chunks


def peak(warmup: Ints, size: ScheduleSize) -> Ints:
    """[..., p, v]: activations in flight per chunk when a stage has run its warm-up [..., p] and
    one more forward.

    Their total is then largest: from there on a backward precedes every forward (Megatron-LM
    `max_outstanding_backprops`). The first K forwards are counted by whole groups, then within the
    group reached, in the order of `forward_table`; they never reach past chunk 0 of a last group
    that is not whole.
    """
    chunks = size.virtual_stages
    microbatches = size.num_microbatches[..., None]
    group = np.minimum(size.group[..., None], microbatches)
    forwards = np.minimum(warmup + 1, microbatches * chunks)
    groups = forwards // (group * chunks)
    into = (forwards - groups * group * chunks)[..., None] - np.arange(chunks) * group[..., None]
    return np.asarray((groups * group)[..., None] + np.clip(into, 0, group[..., None]))


def moments(warmup: int, size: ScheduleSize) -> Ints:
    """[T, v]: activations in flight per chunk whenever a stage switches from a forward to a
    backward, in any order, possibly with repetitions.

    Forward w + j comes before backward j. Both run through the chunks in whole groups, so that
    differences repeat with the groups; only a last group that is not whole adds others.
    """
    chunks, group = size.virtual_stages, int(size.group)
    order = forward_table(int(size.num_microbatches), chunks, group)[1]
    done = np.zeros((order.size + 1, chunks), dtype=np.int64)
    np.cumsum(order[:, None] == np.arange(chunks), axis=0, out=done[1:])
    last = max(order.size - warmup, 1)
    backward = np.arange(min(last, group * chunks))
    rest = int(size.num_microbatches) % group * chunks
    if rest:
        first = max(order.size - rest - warmup - 1, 0)
        backward = np.concatenate((backward, np.arange(first, last)))
    forward = np.minimum(warmup + 1 + backward, order.size)
    return np.asarray(done[forward] - done[backward, ::-1])


def everything(size: ScheduleSize) -> Ints:
    """[..., p, v]: all microbatches pass through every chunk before the first backward."""
    shape = (*size.num_microbatches.shape, size.stages, size.virtual_stages)
    return np.broadcast_to(size.num_microbatches[..., None, None], shape)
