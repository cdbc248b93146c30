"""Which divisions of a stage's layers over its chunks may fit in the memory of every class.

Memory at the moment with most microbatches in flight is linear in the layers of every chunk as long
as it has any, and no moment holds more than the fullest one: so what is computed here is never more
than what the allocator holds. Letters: p stages, v chunks of a stage, I ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import FULL, SELECTIVE
from planner.training.memory.activations import movable_of_layers
from planner.training.search.mixed.fitting_ways import ways_within
from planner.training.search.mixed.rooms import MemoryLines
from planner.training.search.mixed.speeds import layer_columns

if TYPE_CHECKING:
    from planner.arrays import Bools, Floats, Ints

MOST_WAYS = 4096
"""Ways of one stage up to which all are listed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkRooms:
    """Bytes of a stage: `base` [p] with one layer in every chunk, `each` [p, v] for every layer
    more in a chunk; `freed` [p, v] less for every layer that is recomputed there. `least_base` and
    `least_each` are the same with all layers recomputed. `filled` [p]: what a layer less may save
    beside that."""

    base: Floats
    each: Floats
    freed: Floats
    least_base: Floats
    least_each: Floats
    filled: Floats

    @classmethod
    def of(cls, lines: MemoryLines) -> ChunkRooms:
        """Of the only plan of a batch, whose layers are of one kind."""
        scenario, table, batch = lines.scenario, lines.table, lines.batch
        column = int(layer_columns(scenario)[0])
        full = bool(batch.granularity[0] == FULL)
        counted, which = batch.in_flight
        in_flight = counted[which][0].astype(np.float64)
        slack = 1 + scenario.job.software.allocator_slack.value
        row = int(batch.row[0])
        saved = float(table.saved_bytes[row, column])
        kept = float(table.full_bytes[row, column])
        if batch.granularity[0] == SELECTIVE:
            saved = float(table.selective_bytes[row, column])
        if not full:
            moved = batch.host_activations[0] * movable_of_layers(table, batch)[0, column]
            saved -= float(moved)
        bare = lines.of(column, replayed=False)
        least = lines.of(column, replayed=full)
        uneven = in_flight - in_flight.mean(axis=1, keepdims=True)
        return cls(
            base=bare.base[0, :, 0],
            each=bare.even[0, :] + slack * saved * uneven,
            freed=slack * (saved - kept) * in_flight * full,
            least_base=least.base[0, :, 0],
            least_each=least.even[0, :] + slack * (kept if full else saved) * uneven,
            filled=least.filled[0],
        )

    def may_fit(self, stage: int, room: float, chunks: Ints, recomputed: int) -> Bools:
        """[I]: whether ways `chunks` [I, v] may fit in `room` bytes of a stage with so many
        recomputed layers in every chunk."""
        more = (chunks - 1).astype(np.float64)
        led = np.minimum(chunks, recomputed).astype(np.float64)
        held = self.base[stage] + more @ self.each[stage] - led @ self.freed[stage]
        least = self.least_base[stage] + more @ self.least_each[stage]
        missing = (chunks == 0).any(axis=1) * self.filled[stage]
        held = np.maximum(held, least) - missing
        return np.asarray(held <= room * (1 + _ROUNDING))

    def ways(
        self, stage: int, room: float, least: Ints, layers: int, recomputed: int
    ) -> Ints | None:
        """[I, v]: the ways to divide `layers` over the chunks of a stage, which have their `least`
        [v], that may fit; None where they are too many."""
        base, each = self.least_base[stage], self.least_each[stage]
        left = room * (1 + _ROUNDING) - base + self.filled[stage] + each.sum()
        found = ways_within(least, layers, each, left, most=MOST_WAYS)
        if found is None:
            return None
        return found[self.may_fit(stage, room, found, recomputed)]

    def corners(self, stage: int, room: float, corners: Floats) -> Floats:
        """[X, v]: the corners of what may fit in `room` bytes of a stage, of the ways, and parts of
        them, that lie between `corners` [I, v]; under full recomputation those themselves."""
        if self.freed.any():
            return corners
        least = np.maximum(self.base[stage], self.least_base[stage]) - self.filled[stage]
        held = least + (corners - 1) @ np.minimum(self.each[stage], self.least_each[stage])
        room = room * (1 + _ROUNDING)
        inside, outside = corners[held <= room], corners[held > room]
        if not len(inside) or not len(outside):
            return corners
        low, high = held[held <= room], held[held > room]
        share = ((room - low[:, None]) / (high - low[:, None]))[..., None]
        between = inside[:, None] * (1 - share) + outside * share
        return np.concatenate((inside, between.reshape(-1, corners.shape[1])))


_ROUNDING = 1e-9
"""Share of the room that rounding may hide."""
