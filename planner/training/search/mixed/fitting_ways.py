"""The divisions of a stage's layers over its chunks for which it may have memory, listed chunk by
chunk.

Letters: v chunks of a stage, I ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints


def ways_within(least: Ints, layers: int, each: Floats, room: float, *, most: int) -> Ints | None:
    """[I, v]: the ways in which chunks have their `least` [v] layers and `layers` together, and
    take no more than `room` bytes, of which a layer takes `each` [v]. None where more than `most`
    are begun."""
    v = len(least)
    later = np.cumsum(least[::-1])[::-1]
    later_bytes = np.cumsum((least * each)[::-1])[::-1]
    cheapest = np.minimum.accumulate(each[::-1])[::-1]
    ways = np.zeros((1, 0), dtype=np.int64)
    left, room_left = np.array([layers]), np.array([room])
    for chunk in range(v - 1):
        held = np.arange(least[chunk], layers + 1)
        rest = left[:, None] - held
        over = rest - later[chunk + 1]
        needed = held * each[chunk] + later_bytes[chunk + 1] + over * cheapest[chunk + 1]
        which, place = np.nonzero((over >= 0) & (needed <= room_left[:, None]))
        if len(which) > most:
            return None
        ways = np.column_stack((ways[which], held[place]))
        left = rest[which, place]
        room_left = room_left[which] - held[place] * each[chunk]
    fits = (left >= least[-1]) & (left * each[-1] <= room_left)
    return np.asarray(np.column_stack((ways, left))[fits])
