"""Which pass feeds which, read off the order of a schedule.

A flat position is stage·n + index into `Schedule.codes`; -1 stands for none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import RuleError
from planner.schedule.passes import PassKind, Schedule

if TYPE_CHECKING:
    from planner.schedule.arrays import Bools, Ints


def inputs_of(schedule: Schedule) -> Ints:
    """[p, n]: flat position of the pass each pass takes its input from.

    -1 where there is none or where the stage runs it earlier itself. Raises
    RuleError("schedule-order") when a pass is missing or run twice.
    """
    stages, count = schedule.codes.shape
    virtual, microbatches = stages * schedule.virtual_stages, schedule.num_microbatches
    placement, kinds = schedule.placement, schedule.kinds
    stage = np.arange(stages)[:, None]
    place = placement.virtual_stage[stage, schedule.chunks].astype(np.int64)

    forward = kinds == PassKind.FORWARD
    weight = kinds == PassKind.BACKWARD_WEIGHT
    idle = kinds == PassKind.IDLE
    back = ~forward & ~weight & ~idle
    first = forward & np.isin(place, placement.starts)
    turn = back & np.isin(place, placement.ends)

    slot = np.where(forward, 0, np.where(back, 1, 2))
    key = (slot * virtual + place) * microbatches + schedule.microbatches
    position = np.full(3 * virtual * microbatches, -1, dtype=np.int64)
    own = np.arange(stages * count).reshape(stages, count)
    position[key[~idle]] = own[~idle]

    feeder = key.copy()
    feeder[forward & ~first] -= microbatches
    feeder[back & ~turn] += microbatches
    feeder[turn | weight] -= virtual * microbatches
    cause = position[feeder]
    if ((cause < 0) | (position[key] != own))[~idle].any():
        raise RuleError(
            "schedule-order",
            f"{schedule.name}: every pass and the pass that feeds it must be run exactly once",
        )
    settled = first | idle | ((cause // count == stage) & (cause < own))
    return np.where(settled, -1, cause)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Messages:
    """The results that travel between stages; each belongs to the pass that made it."""

    exists: Bools
    """[p, n]"""
    previous: Ints
    """[p, n]: flat position of the last pass before with a message to the same stage, or -1."""

    @classmethod
    def between(cls, inputs: Ints) -> Messages:
        """`inputs` as `inputs_of` finds them."""
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
