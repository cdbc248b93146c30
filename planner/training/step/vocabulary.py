"""Passes and collectives of vocabulary layers that all stages share.

Every stage runs its part of the output layer for every microbatch: a forward pass (S) and a
backward pass (T), with collectives among all stages between them (Yeung et al. 2024,
arXiv:2411.05288; sail-sg/VocabularyParallelism `vocab_parallel_output_layer.py`). Its part of the
input layer is short and counts with them.

Letters: N plans, p stages, E exchanges of the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import numbered
from planner.hardware.collectives import all_gather_s, all_reduce_s
from planner.training.batch import OUTER_KINDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.schedule.kinds import VocabularySharing
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario

RESCALED_BYTES = 8
"""Per logit: the saved softmax read and written again once the sum over all stages is known."""
CAST_BYTES = 6
"""Per logit: the fp32 softmax converted to 16 bits for the input gradient of algorithm 2."""
SCALARS = 3
"""Numbers per token that the stages combine: largest logit, logit of the label, sum."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VocabularyPasses:
    """Seconds per microbatch: passes [N, p], collectives [N, E]. `beside_s` [N, p] is the part of
    the passes that belongs to no operator of a layer."""

    forward_s: NDArray[np.float64]
    backward_s: NDArray[np.float64]
    beside_s: NDArray[np.float64]
    exchange_s: NDArray[np.float64]

    @property
    def busy_s(self) -> NDArray[np.float64]:
        """[N, p]"""
        return self.forward_s + self.backward_s


def vocabulary_passes(
    scenario: Scenario, table: CostTable, batch: Batch, stage_backward_s: NDArray[np.float64]
) -> VocabularyPasses:
    """Zero seconds and no collectives where the schedule does not share the vocabulary.
    `stage_backward_s` [N, p]: the layers' backward passes of one microbatch."""
    shape = (len(batch), batch.pipeline)
    sharing = batch.kind.vocabulary
    if sharing is None:
        none = np.zeros(shape)
        return VocabularyPasses(
            forward_s=none, backward_s=none, beside_s=none, exchange_s=np.zeros((len(batch), 0))
        )
    forward_s, backward_s, weight_s = (
        _slowest(scenario, seconds[..., -OUTER_KINDS:], batch)
        for seconds in (
            table.forward_s.sum(axis=0),
            table.backward_s.sum(axis=0),
            table.weight_gradient_s,
        )
    )
    extra = np.zeros((2, *shape))
    exchange_s = _exchanges(scenario, table, batch, sharing)
    if sharing.rescales:
        streaming = min(device.streaming_bytes_per_s for device in scenario.device_types)
        logits = table.logits_bytes[batch.row, -1][:, None] / 4
        residual = table.residual_bytes[batch.row, None]
        extra[1] += logits * RESCALED_BYTES / streaming
        transfers = scenario.job.software.shared_vocabulary.residual_transfers.value
        extra[0] += residual * transfers / streaming
        if sharing.early_input_gradient:
            # The input gradient's product, as long as the weight gradient's, moves into S.
            extra[0] += logits * CAST_BYTES / streaming
            forward_s, backward_s = forward_s + weight_s, backward_s - weight_s
        waiting_s = stage_backward_s.max(axis=1) / 2
        extra[1] += _slowed_s(scenario, table, batch, exchange_s, waiting_s)[:, None]
    else:
        # The input gradient travels while the weight gradient is computed.
        exchange_s[:, -1] = np.maximum(exchange_s[:, -1] - weight_s.min(axis=1), 0.0)
    return VocabularyPasses(
        forward_s=forward_s + extra[0],
        backward_s=backward_s + extra[1],
        beside_s=extra.sum(axis=0),
        exchange_s=exchange_s,
    )


def _slowest(scenario: Scenario, seconds: NDArray[np.float64], batch: Batch) -> NDArray[np.float64]:
    """[N, p]: embedding and head together, on each stage's slowest device type; `seconds` is
    [T, R, 2], by device type, shard, and embedding or head, of which `by_type` takes [T, N]."""
    by_type = seconds.sum(axis=-1)[:, batch.row]
    stages = [by_type[list(types)].max(axis=0) for types in scenario.stage_types(batch.pipeline)]
    return np.stack(stages, axis=-1)


def _exchanges(
    scenario: Scenario, table: CostTable, batch: Batch, sharing: VocabularySharing
) -> NDArray[np.float64]:
    """Seconds of the schedule's collectives among the stages, [N, E]."""
    rows, inverse = numbered(batch.row)
    seconds = np.array([_of_row(scenario, table, int(row), batch, sharing) for row in rows])
    return seconds[inverse.reshape(-1)]


def _of_row(
    scenario: Scenario, table: CostTable, row: int, batch: Batch, sharing: VocabularySharing
) -> list[float]:
    """Seconds of each collective under one shard: the scalars travel in fp32, and so does the last
    stage's output where the softmax is rescaled; the input gradient travels in the format of the
    layers."""
    names = [exchange.name for exchange in sharing.exchanges]
    group = scenario.topology.group(batch.pipeline, scenario.job.devices // batch.pipeline)
    workload = scenario.workload(table.shards[row])
    residual = int(table.residual_bytes[row])
    widened = 4 // workload.element_bytes if sharing.rescales else 1
    scalars_s = SCALARS * all_reduce_s(group, 4 * workload.residual_tokens)
    gradient_s = all_reduce_s(group, residual)
    known = {
        "vocab_broadcast": all_gather_s(group, widened * residual),
        "vocab_softmax": scalars_s,
        "vocab_reduction": gradient_s + (0.0 if "vocab_softmax" in names else scalars_s),
    }
    return [known[name] for name in names]


def _slowed_s(
    scenario: Scenario,
    table: CostTable,
    batch: Batch,
    exchange_s: NDArray[np.float64],
    waiting_s: NDArray[np.float64],
) -> NDArray[np.float64]:
    """[N]: seconds by which the collectives, those of the input layer included, slow down the
    passes that run at the same time.

    A collective holds multiprocessors of a stage from the moment that stage joins until the last
    one does. A stage joins at the end of the pass that it was running when the microbatch was
    ready. So the last stage is late by up to the longest pass, and a stage waits half of that on
    average (`waiting_s`).
    """
    group = scenario.topology.group(batch.pipeline, scenario.job.devices // batch.pipeline)
    rows, inverse = numbered(batch.row)
    residual = table.residual_bytes[rows].tolist()
    input_layer = np.array([all_reduce_s(group, s) + all_gather_s(group, s) for s in residual])
    cost = max(device.links.overlap_cost for device in scenario.device_types)
    held_s = waiting_s + exchange_s.sum(axis=1) + input_layer[inverse.reshape(-1)]
    slowed: NDArray[np.float64] = cost * held_s
    return slowed
