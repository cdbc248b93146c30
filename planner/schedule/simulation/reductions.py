"""Gradient reductions that start when a chunk or a stage has finished its backwards."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.arrays import Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reductions:
    """Start and end of every reduction, in seconds; leading batch axes as given."""

    chunk_start_s: Floats
    chunk_end_s: Floats
    """[..., p, v]"""
    stage_start_s: Floats
    stage_end_s: Floats
    """[..., p]"""
    tied_start_s: Floats
    tied_end_s: Floats
    """[...]"""

    @property
    def span_s(self) -> Floats:
        """[...]: when everything is over."""
        return np.asarray(np.maximum(self.stage_end_s.max(axis=-1), self.tied_end_s))

    def of_one(self, entry: int) -> Reductions:
        """The reductions of one entry of the first batch axis."""
        return Reductions(**{each.name: getattr(self, each.name)[entry] for each in fields(self)})

    @classmethod
    def of(cls, chunk_ends: Floats, chunk_s: Floats, stage_s: Floats, tied_s: Floats) -> Reductions:
        """`chunk_ends` [..., p, v]: when the last backward of every chunk ended.

        A stage runs its chunks' reductions one at a time, in the order in which they become ready,
        and then its own. The tied reduction waits for the first and the last stage.
        """
        chunk_ends, chunk_s = np.broadcast_arrays(chunk_ends, chunk_s)
        order = np.argsort(chunk_ends, axis=-1, kind="stable")
        ready = np.take_along_axis(chunk_ends, order, axis=-1)
        lasts = np.take_along_axis(chunk_s, order, axis=-1)
        starts = np.empty_like(ready)
        free = np.zeros(ready.shape[:-1])
        for turn in range(ready.shape[-1]):
            starts[..., turn] = np.maximum(ready[..., turn], free)
            free = starts[..., turn] + lasts[..., turn]
        start = np.empty_like(starts)
        np.put_along_axis(start, order, starts, axis=-1)

        stage_end = free + stage_s
        tied_start = np.maximum(stage_end[..., 0], stage_end[..., -1])
        return cls(
            chunk_start_s=start,
            chunk_end_s=start + chunk_s,
            stage_start_s=free,
            stage_end_s=stage_end,
            tied_start_s=tied_start,
            tied_end_s=tied_start + tied_s,
        )
