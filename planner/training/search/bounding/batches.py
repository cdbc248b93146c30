"""Batches of combinations, in the form that memory and timing price."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.registry import kind_of
from planner.training.batch import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.search.space.enumeration import Columns
    from planner.workload.stages import StageLoad

ELEMENTS = 40_000
"""Combinations times stages (times chunks, for times) that are priced at once: few enough for the
processor's cache and a small resident size, enough to make the overhead of a numpy call
negligible."""


def make_batch(
    columns: Columns,
    *,
    global_batch_size: int,
    pipeline: int,
    virtual_stages: int,
    schedule: str,
    load: StageLoad,
    grid_row: NDArray[np.int64],
    recompute: NDArray[np.int64],
    recomputed_layers: NDArray[np.int64],
    data_sharding: NDArray[np.int64],
) -> Batch:
    """The batch of some combinations. `columns` are a grid's, with a `row` column that points into
    the cost table and a `shared_row` column for schedules that share the vocabulary; the arrays are
    as long as `grid_row`."""
    data = columns["data"][grid_row]
    row = "shared_row" if kind_of(schedule).shares_vocabulary else "row"
    return Batch(
        pipeline=pipeline,
        virtual_stages=virtual_stages,
        schedule=schedule,
        load=load,
        row=columns[row][grid_row],
        tensor=columns["tensor"][grid_row],
        data=data,
        context=columns["context"][grid_row],
        expert=columns["expert"][grid_row],
        expert_tensor=columns["expert_tensor"][grid_row],
        num_microbatches=global_batch_size // (columns["micro_batch_size"][grid_row] * data),
        granularity=recompute,
        recomputed_layers=recomputed_layers,
        data_sharding=data_sharding,
    )
