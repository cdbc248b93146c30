"""Combinations of one group that may fit in memory: one stage layout that they share, and what
each of them chooses. Further questions price them as batches, in pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import Batch
from planner.training.search.bounding.batches import ELEMENTS, make_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.screen import Screened
    from planner.training.search.bounding.shared_layouts import SharedLayout
    from planner.training.search.space.enumeration import Block, Columns


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitting:
    """Combinations of one group that may fit in memory, with quick bounds on their time: `bound_s`
    under the layout they share, infinite where that does not fit."""

    screened: Screened
    virtual_stages: int
    schedule: str
    layout: SharedLayout
    grid_row: NDArray[np.int32]
    variants: Columns
    bound_s: NDArray[np.float64]
    others_s: NDArray[np.float64]
    """Lower bound on the time under every stage layout that may be chosen instead; infinite where
    there is none."""

    def __len__(self) -> int:
        return len(self.grid_row)

    @property
    def chunks(self) -> int:
        """Number of chunks of every combination."""
        return self.screened.pipeline * self.virtual_stages

    @classmethod
    def of(
        cls,
        screened: Screened,
        group: Block,
        layout: SharedLayout,
        rows: NDArray[np.int64],
        bound_s: NDArray[np.float64],
        others_s: NDArray[np.float64],
    ) -> Fitting:
        """The fitting combinations from the given rows of a group."""
        return cls(
            screened=screened,
            virtual_stages=group.virtual_stages,
            schedule=group.schedule,
            layout=layout,
            grid_row=group.grid_row[rows].astype(np.int32),
            variants={
                axis: codes[rows].astype(np.min_scalar_type(-int(np.abs(codes).max(initial=1))))
                for axis, codes in group.variants.items()
            },
            bound_s=bound_s,
            others_s=others_s,
        )


def batch_of(
    scenario: Scenario,
    fitting: Fitting,
    which: NDArray[np.int64],
    recomputed_layers: NDArray[np.int64],
) -> Batch:
    """Some combinations of a group, as a batch."""
    return make_batch(
        scenario,
        fitting.screened.columns,
        {axis: codes[which].astype(np.int64) for axis, codes in fitting.variants.items()},
        pipeline=fitting.screened.pipeline,
        virtual_stages=fitting.virtual_stages,
        schedule=fitting.schedule,
        load=fitting.layout.load,
        grid_row=fitting.grid_row[which].astype(np.int64),
        recomputed_layers=recomputed_layers,
    )


def shape_of(batch: Batch) -> tuple[int, int, str]:
    """What decides whether a layout may be chosen: pipeline degree, chunks per stage, schedule."""
    return batch.pipeline, batch.virtual_stages, batch.schedule


def pieces(rows: NDArray[np.int64], width: int, budget: Budget) -> Iterator[NDArray[np.int64]]:
    """The rows in pieces of at most `ELEMENTS` elements, where a row counts `width`. Raises:
    OutOfTime."""
    step = max(ELEMENTS // width, 1)
    for first in range(0, len(rows), step):
        budget.check()
        yield rows[first : first + step]
