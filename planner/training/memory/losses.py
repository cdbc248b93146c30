"""What the losses of microbatches keep, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.workload.formats import STATE_BYTES, weight_bytes
from planner.workload.shard import Shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


class LossEnds(NamedTuple):
    """How far what a loss holds reaches: its copies into the backward pass of the head, what it
    keeps for its own backward pass into that of the head, and of the layers."""

    overlaps_head: bool
    keeps_into_head: bool
    keeps_into_layers: bool


def loss_ends(scenario: Scenario) -> LossEnds:
    """A loss in kernels of its own turns the probabilities into the gradient of the logits, and
    they are gone. Logits that become their gradient are the head's, and a trainer may hold on to
    its outputs (Composer `trainer.py`, `_train_microbatch`: `state.outputs`)."""
    workload = scenario.workload(Shard())
    held = workload.software.fused.logits_outlive_backward and workload.keeps_logits
    return LossEnds(
        overlaps_head=workload.software.fused.loss_copies > 0 and not workload.fuses_loss,
        keeps_into_head=workload.loss_in_place or held,
        keeps_into_layers=held,
    )


def kept_logits(
    scenario: Scenario,
    table: CostTable,
    batch: Batch,
    in_flight: NDArray[np.int64],
    which: NDArray[np.intp],
) -> NDArray[np.int64]:
    """Bytes that losses keep for their backward pass, [N, p]: of every microbatch in flight whose
    backward is not split; else of one, and of the others the gradient of their logits, which the
    weight gradient needs. One microbatch's share where all stages share the vocabulary."""
    logits_bytes = table.logits_bytes[batch.row, -1][:, None]
    losses = computed_losses(table, batch.load.counts)
    if batch.kind.shares_vocabulary:
        shares: NDArray[np.int64] = logits_bytes * losses.any(axis=1)
        return shares
    kept: NDArray[np.int64] = (in_flight * losses).sum(axis=-1)[which]
    if not batch.kind.splits_backward or scenario.workload(Shard()).keeps_logits:
        every: NDArray[np.int64] = kept * logits_bytes
        return every
    whole = np.minimum(kept, losses.sum(axis=-1))
    element_bytes = weight_bytes(scenario.job.precision)
    split: NDArray[np.int64] = logits_bytes * (4 * whole + element_bytes * (kept - whole)) // 4
    return split


def kept_outputs(
    scenario: Scenario, batch: Batch, last_loss: NDArray[np.int64]
) -> NDArray[np.int64]:
    """16-bit logits, [N, p], of the microbatches before, where the last stage of a pipeline keeps
    its outputs (torch `distributed/pipelining/stage.py`, `forward_one_chunk`, `output_chunks`).
    `last_loss`: what the loss of one microbatch keeps."""
    if not scenario.job.software.pipeline_keeps_outputs or batch.pipeline == 1:
        return np.zeros_like(last_loss)
    workload = scenario.workload(Shard())
    element_bytes = weight_bytes(scenario.job.precision)
    kept_bytes = element_bytes if workload.keeps_logits else STATE_BYTES["fp32"]
    earlier = (batch.num_microbatches - 1)[:, None]
    outputs: NDArray[np.int64] = earlier * last_loss * element_bytes // kept_bytes
    return outputs


def computed_losses(table: CostTable, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Losses computed by every chunk, [p, v]: the head's, and one of each multi-token-prediction
    module. Which kinds of layers have one is the same in every row of the table."""
    with_logits = (table.logits_bytes[:1] > 0).any(axis=0)
    losses: NDArray[np.int64] = counts[..., with_logits].sum(axis=-1)
    return losses
