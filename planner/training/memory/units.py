"""Fully sharded weights and gradients while they are whole: what of them lives at which instant.

Weights are gathered and freed unit by unit, a unit being a layer, the embedding or the head; or
embedding and head belong to the root, which stays gathered from the first layer's forward pass to
its backward pass (PyTorch `FullyShardedDataParallel`, `_runtime_utils.py`, `_post_forward_reshard`;
torchtitan until July 2025). Where gathers work in buffers of their own stream, layers get copies of
them, and no other stream uses the buffers again: they count as reserved, not as allocated (FSDP2
`_fsdp_collectives.py`, `foreach_all_gather`; blocks of the caching allocator belong to one stream).

Letters: N plans, p stages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import OUTER_KINDS
from planner.training.memory.parameters import embedding_parameters
from planner.training.memory.sharding import resharded
from planner.workload.formats import gathered_weight_bytes, reduced_gradient_bytes, weight_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShardedUnits:
    """Bytes, int64 [N, p] each: gathered from the first pass to the last, during the loss, in
    the backward pass of a layer, and in buffers that the allocator cannot use for anything else."""

    always: NDArray[np.int64]
    at_loss: NDArray[np.int64]
    in_layer: NDArray[np.int64]
    pooled: NDArray[np.int64]

    def some(self, plans: NDArray[np.integer]) -> ShardedUnits:
        """Those of some of the plans."""
        return ShardedUnits(
            always=self.always[plans],
            at_loss=self.at_loss[plans],
            in_layer=self.in_layer[plans],
            pooled=self.pooled[plans],
        )


def gathered_units(scenario: Scenario, table: CostTable, batch: Batch) -> ShardedUnits:
    """Nothing for plans whose weights are not gathered pass by pass.

    In the backward pass of a layer its own weights and their gradients are whole, and the
    gradients of those before it on their way to be reduced (FSDP2 `_fsdp_param_group.py`,
    `reduce_scatter_state`; FSDP1 `_runtime_utils.py`, `record_stream`). A head in the root waits
    with its gradient for the root's backward pass.
    """
    fully = resharded(scenario.job.software, batch)
    shape = (len(batch), len(batch.stages))
    if not fully.any():
        nothing = np.zeros(shape, dtype=np.int64)
        return ShardedUnits(always=nothing, at_loss=nothing, in_layer=nothing, pooled=nothing)
    software, precision = scenario.job.software, scenario.job.precision
    sharding = software.full_sharding
    layer, embedding, head, both = _parameters(scenario, table, batch)
    whole_bytes = weight_bytes(precision)
    reduced_bytes = reduced_gradient_bytes(software, precision) * sharding.units_reduced
    layer_bytes = np.ceil(layer * gathered_weight_bytes(software, precision)).astype(np.int64)
    end_bytes = np.maximum(embedding, head) * whole_bytes
    head_bytes, both_bytes = head * whole_bytes, both * whole_bytes
    nothing = np.zeros_like(layer)
    if sharding.ends_in_root:
        always, gathered, waiting = both_bytes, layer_bytes, head_bytes
        pooled, at_loss = both_bytes + layer_bytes, layer_bytes
        reduced = layer * reduced_bytes
    else:
        always, gathered, waiting = nothing, np.maximum(end_bytes, layer_bytes), nothing
        pooled, at_loss = gathered + layer_bytes, layer_bytes + head_bytes
        reduced = np.maximum(layer, head) * reduced_bytes
    in_layer = layer_bytes + layer * whole_bytes + reduced + waiting
    if not sharding.gathers_into_pool:
        always = always + sharding.units_gathered * gathered
        at_loss, pooled, in_layer = nothing, nothing, reduced + waiting
    return ShardedUnits(
        always=np.where(fully[:, None], always, 0),
        at_loss=np.where(fully[:, None], at_loss, 0),
        in_layer=np.where(fully[:, None], in_layer, 0),
        pooled=np.where(fully[:, None], pooled, 0),
    )


def _parameters(
    scenario: Scenario, table: CostTable, batch: Batch
) -> tuple[NDArray[np.int64], ...]:
    """Parameters per device of the largest layer of every stage, of its embedding, its head, and
    both together, [N, p] each; 0 where a stage has none."""
    parameters = table.dense_parameters[batch.row] + table.expert_parameters[batch.row]
    present = batch.load.of_stages > 0
    layer, embedding, head = (
        np.where(present[None, :, kinds], parameters[:, None, kinds], 0).max(axis=-1)
        for kinds in (slice(None, -OUTER_KINDS), slice(-OUTER_KINDS, -1), slice(-1, None))
    )
    both = embedding + head
    if scenario.model.tie_embeddings:
        shared = np.minimum(embedding, head)
        both = both - np.minimum(shared, embedding_parameters(scenario, batch)[:, None])
    return layer, embedding, head, both
