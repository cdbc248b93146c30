"""Finds which pass feeds which from the order of a schedule.

A flat position is stage·n + index into `Schedule.codes`; −1 stands for none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import RuleError
from planner.schedule.passes import VOCAB_KINDS, PassKind, Schedule

if TYPE_CHECKING:
    from planner.arrays import Bools, Ints


def inputs_of(schedule: Schedule) -> Ints:
    """[p, n]: flat position of the pass that each pass takes its input from.

    It is −1 where a pass has no input, or where its own stage has already produced it earlier.
    Raises RuleError("schedule-order") when a pass is missing or run twice.
    """
    stages, count = schedule.codes.shape
    virtual, microbatches = stages * schedule.virtual_stages, schedule.num_microbatches
    placement, kinds = schedule.placement, schedule.kinds
    stage = np.arange(stages)[:, None]
    place = placement.virtual_stage[stage, schedule.chunks].astype(np.int64)

    forward = kinds == PassKind.FORWARD
    weight = kinds == PassKind.BACKWARD_WEIGHT
    recompute = kinds == PassKind.RECOMPUTE
    aside = (kinds == PassKind.IDLE) | np.isin(kinds, VOCAB_KINDS)
    back = ~forward & ~weight & ~recompute & ~aside
    # A stage's recomputation before a backward takes the backward's place as the receiver of the
    # message.
    taker = np.where(recompute.any(axis=1, keepdims=True), recompute, back)
    first = forward & np.isin(place, placement.starts)
    turn = taker & np.isin(place, placement.ends)

    slot = np.select([forward, back, weight], [0, 1, 2], 3)
    key = (slot * virtual + place) * microbatches + schedule.microbatches
    position = np.full(4 * virtual * microbatches, -1, dtype=np.int64)
    own = np.arange(stages * count).reshape(stages, count)
    position[key[~aside]] = own[~aside]

    from_slot = np.select([forward | turn, taker | weight], [0, 1], 3)
    from_place = place + np.select([forward & ~first, taker & ~turn], [-1, 1], 0)
    feeder = (from_slot * virtual + from_place) * microbatches + schedule.microbatches
    cause = position[feeder]
    if ((cause < 0) | (position[key] != own))[~aside].any():
        raise RuleError(
            "schedule-order",
            f"{schedule.name}: every pass and the pass that feeds it must be run exactly once",
        )
    settled = first | aside | ((cause // count == stage) & (cause < own))
    return np.where(settled, -1, cause)


def partners(schedule: Schedule, paired: Bools) -> Ints:
    """[p, n]: flat position of the backward that follows each forward where `paired`, even when it
    recomputes something first; −1 elsewhere."""
    stages, count = schedule.codes.shape
    kinds = np.concatenate((schedule.kinds, np.full((stages, 2), PassKind.IDLE)), axis=1)
    after, later = kinds[:, 1 : count + 1], kinds[:, 2:]
    distance = np.select(
        [
            after == PassKind.BACKWARD,
            (after == PassKind.RECOMPUTE) & (later == PassKind.BACKWARD),
        ],
        [1, 2],
        0,
    )
    found = paired & (kinds[:, :count] == PassKind.FORWARD) & (distance > 0)
    return np.where(found, np.arange(stages * count).reshape(stages, count) + distance, -1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Messages:
    """The results that travel between stages; each belongs to the pass that produced it."""

    exists: Bools
    """[p, n]"""
    previous: Ints
    """[p, n]: flat position of the previous pass with a message to the same stage, or −1."""

    @classmethod
    def between(cls, inputs: Ints) -> Messages:
        """The messages for `inputs`, as `inputs_of` finds them."""
        stages, count = inputs.shape
        consumer, column = np.nonzero(inputs >= 0)
        maker = inputs[consumer, column]
        across = maker // count != consumer
        receiver = np.full(stages * count, -1, dtype=np.int64)
        receiver[maker[across]] = consumer[across]
        receiver = receiver.reshape(stages, count)

        stage = np.arange(stages)[:, None]
        offset = np.where(receiver >= 0, receiver - stage, 0)
        previous = np.full(inputs.shape, -1, dtype=np.int64)
        for distance in np.flatnonzero(np.bincount((offset + stages).ravel())) - stages:
            mask = (offset == distance) & (distance != 0)
            latest = np.maximum.accumulate(np.where(mask, np.arange(count), -1), axis=1)
            before = np.concatenate((np.full((stages, 1), -1), latest[:, :-1]), axis=1)
            previous[mask] = np.where(before >= 0, before + stage * count, -1)[mask]
        return cls(exists=receiver >= 0, previous=previous)
