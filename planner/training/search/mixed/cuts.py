"""Paths through a schedule as rows that bound the step of every split of layers over chunks.

A path is there whatever the durations are, so no step is shorter than it (Kelley 1960, cutting
planes). Nor is it shorter than any average of paths; an average whose shares are well chosen bounds
all splits at once, since every stage may then choose the split that is best for the average.

Letters: J paths, p stages, v chunks of a stage, V chunks in all, B answers, I ways of a stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.graph.weight_table import WeightTable
from planner.schedule.simulation.causes import counts_to_ends
from planner.training.search.mixed.splits import PASSES

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.schedule.simulation.timeline import Timeline

LATEST = 4
"""Stages of a simulation whose paths are taken, those that end last."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Paths:
    """How often each path runs every pass, [J, p, 4 · v], and every send, [J, V − 1] each way; and
    whether it ends with a stage, [J, p]. An average of paths counts as one: what it has are then
    shares."""

    passes: Floats
    forward_sends: Floats
    backward_sends: Floats
    ends: Floats

    def __len__(self) -> int:
        return len(self.ends)

    @classmethod
    def none(cls, stages: int, chunks: int) -> Paths:
        sends = np.zeros((0, stages * chunks - 1))
        return cls(
            passes=np.zeros((0, stages, len(PASSES) * chunks)),
            forward_sends=sends,
            backward_sends=sends,
            ends=np.zeros((0, stages)),
        )

    @classmethod
    def of(cls, timeline: Timeline) -> Paths:
        """The longest paths to the ends of the stages that are done last."""
        schedule = timeline.schedule
        p, v = schedule.stages, schedule.virtual_stages
        ends = np.argsort(-timeline.reduction_end_s, kind="stable")[:LATEST]
        rows = WeightTable(stages=p, virtual_stages=v, exchanges=len(schedule.exchanges))
        counts = counts_to_ends(timeline, ends.tolist()).astype(np.float64)
        by_kind = [
            counts[:, rows.passes + kind * p * v :][:, : p * v].reshape(-1, p, v) for kind in PASSES
        ]
        return cls(
            passes=np.concatenate(by_kind, axis=-1),
            forward_sends=counts[:, rows.forward_sends : rows.backward_sends],
            backward_sends=counts[:, rows.backward_sends : rows.exchange],
            ends=np.eye(p)[ends],
        )

    def joined(self, more: Paths) -> Paths:
        """With those of `more` that are new."""
        known, others = self._rows, more._rows
        new = [
            j
            for j, row in enumerate(others)
            if not (known == row).all(axis=1).any() and not (others[:j] == row).all(axis=1).any()
        ]
        new_ones = more.some(np.array(new, dtype=np.int64))
        return Paths(
            passes=np.concatenate((self.passes, new_ones.passes)),
            forward_sends=np.concatenate((self.forward_sends, new_ones.forward_sends)),
            backward_sends=np.concatenate((self.backward_sends, new_ones.backward_sends)),
            ends=np.concatenate((self.ends, new_ones.ends)),
        )

    def last(self, count: int) -> Paths:
        """The last ones."""
        return self.some(np.arange(max(len(self) - count, 0), len(self)))

    def some(self, which: Ints) -> Paths:
        return Paths(
            passes=self.passes[which],
            forward_sends=self.forward_sends[which],
            backward_sends=self.backward_sends[which],
            ends=self.ends[which],
        )

    def average(self, shares: Floats) -> Paths:
        """The one average with these shares [J]."""
        return Paths(
            passes=np.einsum("j,jpx->px", shares, self.passes)[None],
            forward_sends=(shares @ self.forward_sends)[None],
            backward_sends=(shares @ self.backward_sends)[None],
            ends=(shares @ self.ends)[None],
        )

    @property
    def _rows(self) -> Floats:
        """[J, ..]: each path as one row."""
        passes = self.passes.reshape(len(self), prod(self.passes.shape[1:]))
        return np.concatenate((passes, self.forward_sends, self.backward_sends, self.ends), axis=1)
