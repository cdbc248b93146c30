"""The layout of a duration table: the rows that the nodes of a graph point to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.passes import PassKind

if TYPE_CHECKING:
    from planner.arrays import Ints
    from planner.schedule.passes import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightTable:
    """Rows of the duration table: row 0 is 0 s; then come passes, forward sends, backward sends and
    exchanges."""

    stages: int
    virtual_stages: int
    exchanges: int = 0

    @property
    def passes(self) -> int:
        """First row of the passes; add (kind·p + stage)·v + chunk. An idle pass has row 0."""
        return 1

    @property
    def forward_sends(self) -> int:
        """First row of the forward sends; add k for the boundary between virtual stages k and k +
        1."""
        return 1 + PassKind.IDLE * self.stages * self.virtual_stages

    @property
    def backward_sends(self) -> int:
        """First row of the backward sends; add k for the boundary from virtual stage k + 1 to k."""
        return self.forward_sends + self.stages * self.virtual_stages - 1

    @property
    def exchange(self) -> int:
        """First row of the exchanges; add the exchange's index in `Schedule.exchanges`."""
        return self.backward_sends + self.stages * self.virtual_stages - 1

    @property
    def size(self) -> int:
        return self.exchange + self.exchanges

    def rows(self, schedule: Schedule) -> tuple[Ints, Ints]:
        """[p, n] each: the row of every pass, and the row of its message if it has one."""
        kinds, chunks = schedule.kinds.astype(np.int64), schedule.chunks
        stage = np.arange(schedule.stages)[:, None]
        place = schedule.placement.virtual_stage[stage, chunks]
        passes = self.passes + (kinds * self.stages + stage) * self.virtual_stages + chunks
        passes = np.where(kinds == PassKind.IDLE, 0, passes)
        forward = kinds == PassKind.FORWARD
        return passes, np.where(
            forward, self.forward_sends + place, self.backward_sends + place - 1
        )
