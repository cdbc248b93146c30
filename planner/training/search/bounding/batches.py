"""Batches of combinations, in the form that memory and timing price."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.registry import kind_of
from planner.training.batch import Batch
from planner.training.search.space.codes import PARTS, sharing_ranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.scenario import Scenario
    from planner.training.search.space.enumeration import Columns
    from planner.workload.stages import StageLoad

ELEMENTS = 40_000
"""Combinations times stages (times chunks, for times) that are priced at once: few enough for the
processor's cache and a small resident size, enough to make the overhead of a numpy call
negligible."""


def make_batch(
    scenario: Scenario,
    columns: Columns,
    variants: Columns,
    *,
    pipeline: int,
    virtual_stages: int,
    schedule: str,
    load: StageLoad,
    grid_row: NDArray[np.int64],
    recomputed_layers: NDArray[np.int64],
) -> Batch:
    """The batch of some combinations. `columns` are a grid's, with a `row` column that points into
    the cost table and a `shared_row` column for schedules that share the vocabulary; `variants`,
    the codes of `VARIANT_AXES`, and the arrays are as long as `grid_row`."""
    data, tensor = columns["data"][grid_row], columns["tensor"][grid_row]
    shard_over = variants["shard_over"]
    offload, weights = variants["optimizer_offload"], variants["weight_offload"]
    activations = variants["activation_offload"]
    row = "shared_row" if kind_of(schedule).shares_vocabulary else "row"
    return Batch(
        pipeline=pipeline,
        virtual_stages=virtual_stages,
        schedule=schedule,
        load=load,
        row=columns[row][grid_row],
        tensor=tensor,
        data=data,
        context=columns["context"][grid_row],
        expert=columns["expert"][grid_row],
        expert_tensor=columns["expert_tensor"][grid_row],
        num_microbatches=scenario.job.microbatches(columns["micro_batch_size"][grid_row] * data),
        granularity=variants["recompute"],
        recomputed_layers=recomputed_layers,
        data_sharding=variants["data_sharding"],
        shard_over=sharing_ranks(shard_over, tensor, scenario.node_devices)
        if shard_over.any()
        else None,
        optimizer_offload=offload / PARTS if offload.any() else None,
        weight_offload=weights if weights.any() else None,
        activation_offload=activations / PARTS if activations.any() else None,
    )
