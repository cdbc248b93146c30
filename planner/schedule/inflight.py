"""Counts the activations that a schedule keeps: microbatches whose forward is done but whose
backward is not.

An activation counts from its forward until the end of its backward, or of the weight half where
backwards are split. Letters: p stages, v chunks of a stage.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import distinct, distinct_rows, numbered
from planner.schedule.build import build
from planner.schedule.orders import alternating
from planner.schedule.passes import PassKind, Schedule
from planner.schedule.registry import kind_of
from planner.schedule.rules import ScheduleSize

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from planner.arrays import Floats, Ints, SmallInts


def peak_in_flight(
    name: str,
    *,
    stages: int,
    virtual_stages: int = 1,
    num_microbatches: ArrayLike,
    group: ArrayLike | None = None,
    ahead: Ints | None = None,
) -> Ints:
    """[..., p, v]: activations per chunk at the first moment when a stage's total is largest.

    The leading axes are those of `num_microbatches` (and `group`, and `ahead` [..., p − 1], the
    microbatches that stages run ahead). Sizes must satisfy
    `build.check_size`. Where chunks differ in weight, another moment may weigh more: see
    `heaviest_in_flight`.
    """
    kind = kind_of(name)
    size = ScheduleSize.of(stages, virtual_stages, num_microbatches, group, ahead)
    if kind.peak is not None:
        return kind.peak(size)
    shape = np.broadcast_shapes(size.num_microbatches.shape, size.group.shape)
    counted = np.minimum(size.num_microbatches, _SETTLED * stages)
    pairs = np.stack(np.broadcast_arrays(counted, size.group), -1).reshape(-1, 2)
    counts = {
        (m, g): count_in_flight(
            build(name, stages=stages, virtual_stages=virtual_stages, num_microbatches=m, group=g)
        )
        for m, g in {(int(m), int(g)) for m, g in pairs}
    }
    found = np.stack([counts[int(m), int(g)] for m, g in pairs])
    return found.reshape(*shape, stages, virtual_stages)


def peaks_in_flight(name: str, stages: int, virtual_stages: int, numbers: Ints) -> Ints:
    """[M, p, v]: `peak_in_flight` of M numbers of microbatches, which are kept."""
    known, wanted = _known_peaks(name, stages, virtual_stages), numbers.tolist()
    new = [number for number in dict.fromkeys(wanted) if number not in known]
    if new:
        found = peak_in_flight(
            name, stages=stages, virtual_stages=virtual_stages, num_microbatches=np.array(new)
        )
        known.update(zip(new, found, strict=True))
    shape = (len(wanted), stages, virtual_stages)
    return np.array([known[number] for number in wanted], dtype=np.int64).reshape(shape)


@lru_cache(maxsize=512)
def _known_peaks(name: str, stages: int, virtual_stages: int) -> dict[int, Ints]:
    """By number of microbatches."""
    return {}


_SETTLED = 4
"""Microbatches per stage beyond which further ones keep no more activations, in every schedule
without a closed form: such schedules warm up with at most two per stage and then repeat
themselves."""


def count_in_flight(schedule: Schedule) -> Ints:
    """[p, v]: activations per chunk at the first moment when their total is largest, by
    counting."""
    return _at_peak(schedule, np.ones((schedule.stages, schedule.virtual_stages)))[1]


def heaviest_in_flight(
    name: str,
    weights: Floats,
    *,
    stages: int,
    virtual_stages: int = 1,
    num_microbatches: Ints,
    differ: NDArray[np.bool_] | None = None,
    stage_of: Ints | None = None,
) -> tuple[Ints, NDArray[np.intp]]:
    """Activations per chunk at the moment when they weigh most, [M, p, v], and each plan's row in
    that array, [N]. One activation of a chunk weighs `weights` [N, p, v] (bytes, for example), for
    N plans with `num_microbatches` each.

    On stages where `differ` [p] is false all chunks weigh the same; there they are only counted.
    `stage_of`: the stage of every entry of p where these are not the stages in order.
    """
    of = np.arange(stages) if stage_of is None else stage_of
    numbers, number = numbered(num_microbatches)
    counted = peaks_in_flight(name, stages, virtual_stages, numbers)
    # Enough microbatches to settle, with a last group of the same length; all of them if every
    # further microbatch adds activations.
    settled = _SETTLED * stages + numbers % stages
    fewer = np.minimum(numbers, settled)
    kept = peaks_in_flight(name, stages, virtual_stages, fewer)
    enough = (kept == counted).all(axis=(1, 2))
    different, of_number = numbered(np.where(enough, fewer, numbers))
    which = of_number[number]
    uneven = np.arange(len(of)) if differ is None else np.flatnonzero(differ)
    wanted = distinct(of[uneven])
    place = np.searchsorted(wanted, of[uneven])
    moments = [
        _fullest_moments(name, stages, virtual_stages, microbatches, tuple(wanted.tolist()))
        for microbatches in different.tolist()
    ]
    chosen = np.zeros((len(uneven), len(which)), dtype=np.int64)
    entries = [np.flatnonzero(place == index) for index in range(len(wanted))]
    for row, of_stages in enumerate(moments):
        plans = np.flatnonzero(which == row)
        for here, of_stage in zip(entries, of_stages, strict=True):
            if len(of_stage) > 1:
                weight = weights[plans[:, None], uneven[here]]
                chosen[here[:, None], plans] = (weight @ of_stage.T).argmax(axis=-1).T
    most = [max(map(len, of_stages)) for of_stages in zip(*moments, strict=True)]
    rows = distinct_rows((which, *chosen), (len(moments), *(most[index] for index in place)))
    heaviest: Ints = counted[number[rows.first]][:, of]
    first = np.array([[of_stage[0] for of_stage in of_stages] for of_stages in moments])
    heaviest[:, uneven] = first[which[rows.first]][:, place]
    for at, row in np.argwhere(chosen[:, rows.first]).tolist():
        plan = rows.first[row]
        heaviest[row, uneven[at]] = moments[which[plan]][place[at]][chosen[at, plan]]
    return heaviest, rows.which


@lru_cache(maxsize=4096)
def _fullest_moments(
    name: str,
    stages: int,
    virtual_stages: int,
    num_microbatches: int,
    wanted: tuple[int, ...],
) -> tuple[Ints, ...]:
    """For every stage wanted, [C, v]: its activations in flight at C moments. One of these moments
    is the heaviest, whatever the chunks weigh."""
    kind = kind_of(name)
    if kind.warmup is not None:
        size = ScheduleSize.of(stages, virtual_stages, num_microbatches, None)
        warmup = kind.warmup(size)[list(wanted)]
        parts = [alternating.moments(one, size) for one in warmup.tolist()]
        return tuple(_fullest(part[distinct_rows(part.T).first]) for part in parts)
    schedule = build(
        name, stages=stages, virtual_stages=virtual_stages, num_microbatches=num_microbatches
    )
    changes, chunks = _changes(schedule), schedule.chunks
    at_once = max(_COUNTED // (changes.shape[1] * virtual_stages), 1)
    found: list[Ints] = []
    for first in range(0, len(wanted), at_once):
        rows = list(wanted[first : first + at_once])
        found += _fullest_of_stages(changes[rows], chunks[rows], virtual_stages)
    return tuple(found)


_COUNTED = 1 << 20
"""Most counts that are held in memory at once."""


def _fullest_of_stages(change: Ints, chunks: SmallInts, virtual_stages: int) -> list[Ints]:
    """Apply `_fullest` to every row of `_changes`; `changes` and the chunks that they concern are
    [s, n] each."""
    hot = chunks[..., None] == np.arange(virtual_stages)
    counts = np.cumsum(change[..., None] * hot, axis=1)
    stage, moment = np.nonzero((change > 0) & (_next_change(change) < 0))
    held = counts[stage, moment]
    first, _ = distinct_rows((stage, *held.T))
    cuts = np.searchsorted(stage[first], np.arange(1, len(change)))
    return [_fullest(part) for part in np.split(held[first], cuts)]


def _next_change(change: Ints) -> Ints:
    """[p, n]: the next entry of each row that is not 0; −1 after the last."""
    count = change.shape[1]
    place = np.where(change != 0, np.arange(count), count)
    after = np.minimum.accumulate(place[:, ::-1], axis=1)[:, ::-1]
    after = np.append(after[:, 1:], np.full((len(change), 1), count), axis=1)
    closed = np.append(change, np.full((len(change), 1), -1), axis=1)
    return np.take_along_axis(closed, after, axis=1)


def _fullest(rows: Ints) -> Ints:
    """The distinct rows of [T, v] with the largest sum, and the rows that none of these reaches in
    every column."""
    totals = rows.sum(axis=1)
    full, others = rows[totals == totals.max()], rows[totals < totals.max()]
    reached = (others[:, None] <= full).all(axis=-1).any(axis=1)
    return np.concatenate([full, others[~reached]])


def peak_weighted(schedule: Schedule, weights: ArrayLike) -> Floats:
    """[..., p]: the largest total weight in flight, where one activation of a chunk weighs
    `weights` [..., p, v] (bytes, for example). It is the true maximum, also where chunks differ."""
    array = np.asarray(weights, dtype=np.float64)
    batch = array.reshape(-1, *array.shape[-2:])
    return np.stack([_at_peak(schedule, one)[0] for one in batch]).reshape(array.shape[:-1])


def _at_peak(schedule: Schedule, weights: Floats) -> tuple[Floats, Ints]:
    """The largest weight in flight, [p], and the activations per chunk, [p, v], when it is first
    reached; `weights` is [p, v]."""
    chunks, change = schedule.chunks, _changes(schedule)
    level = np.cumsum(change * np.take_along_axis(weights, chunks.astype(np.int64), 1), axis=1)
    moment = level.argmax(axis=1)
    before = np.arange(chunks.shape[1]) <= moment[:, None]
    counts = np.stack(
        [
            (change * before * (chunks == chunk)).sum(axis=1)
            for chunk in range(schedule.virtual_stages)
        ],
        axis=1,
    )
    return np.take_along_axis(level, moment[:, None], 1)[:, 0], counts


def _changes(schedule: Schedule) -> Ints:
    """[p, n]: the change that every pass makes to the activations in flight; negative where it
    frees some."""
    kinds = schedule.kinds
    last_kind = PassKind.BACKWARD_WEIGHT if schedule.splits_backward else PassKind.BACKWARD
    ends = (kinds == PassKind.BACKWARD) | (kinds == last_kind)
    change: Ints = (kinds == PassKind.FORWARD).astype(np.int64) - ends
    return change
