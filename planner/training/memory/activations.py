"""Activations at the forward/backward peak of every stage of every plan of a batch.

The peak has the most microbatches in flight. It comes while the loss is computed (logits alive), in
the backward pass of a layer (its gradients and, under full recomputation, everything it saved), or
in that of the embedding, whose gradient is dense, when the microbatch's layers are freed already.

Letters: N plans, M different counts of microbatches in flight, p stages, v chunks of a stage, K
kinds of layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import distinct_rows
from planner.schedule.inflight import heaviest_in_flight, peak_in_flight
from planner.training.batch import FULLY, SELECTIVE
from planner.workload.formats import weight_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.workload.stages import StageLoad


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActivationPeak:
    """Bytes, int64 [N, p] each: kept by microbatches in flight, of the losses among them, and what
    lives only for a moment."""

    activations: NDArray[np.int64]
    logits: NDArray[np.int64]
    working: NDArray[np.int64]


def activation_peak(
    scenario: Scenario, table: CostTable, batch: Batch, *, dense_gradients: bool = True
) -> ActivationPeak:
    """The fullest instant of each stage, a split backward kept until its weight gradients. Without
    `dense_gradients` that of an embedding is left out. Plans that differ only in degrees that no
    layer sees, or in how states are sharded, share it."""
    which = distinct_rows(
        (
            batch.row,
            batch.granularity,
            batch.fully_recomputed,
            batch.num_microbatches,
            batch.data_sharding == FULLY,
        )
    )
    peak = _different_peaks(scenario, table, batch.some(which.first), dense_gradients)
    return ActivationPeak(
        activations=peak.activations[which.which],
        logits=peak.logits[which.which],
        working=peak.working[which.which],
    )


def _different_peaks(
    scenario: Scenario, table: CostTable, batch: Batch, dense_gradients: bool
) -> ActivationPeak:
    row, load = batch.row, batch.load
    in_flight, which = _in_flight(table, batch)
    activations, replayed = _kept(table, batch, in_flight, which)

    losses = _losses(table, load.counts)
    has_loss = losses.any(axis=1)
    last_loss = has_loss * table.logits_bytes[row, -1][:, None]
    logits = np.maximum(_logits(scenario, table, batch, in_flight, which), last_loss)
    loss_working = has_loss * table.logits_working_bytes[row, -1][:, None]
    dense_gradient = weight_bytes(scenario.job.precision) * embedding_parameters(scenario, batch)
    if batch.kind.shares_vocabulary:
        loss_working = loss_working + dense_gradient[:, None]
    else:
        in_head = has_loss * table.working_bytes[row, -1][:, None]
        # A fused loss turns the probabilities into the gradient in place when the logits are gone.
        together = scenario.job.software.fused.loss_copies > 0
        loss_working = loss_working + in_head if together else np.maximum(loss_working, in_head)

    present = load.counts.sum(axis=1) > 0
    present[:, -1] = False
    in_layer = largest_of_kinds(table.working_bytes, row, present) + replayed
    at_loss = last_loss + loss_working >= in_layer
    logits = np.where(at_loss, logits, logits - (0 if batch.kind.shares_vocabulary else last_loss))
    working = np.where(at_loss, loss_working, in_layer)
    if dense_gradients and not batch.kind.shares_vocabulary:
        freed = _freed_before_embedding(table, batch)
        in_embedding = np.where(
            (freed >= 0) & (batch.data_sharding != FULLY)[:, None],
            dense_gradient[:, None] + table.residual_bytes[row, None],
            0,
        )
        later = in_embedding - freed > working
        activations = np.where(later, activations - freed, activations)
        working = np.where(later, in_embedding, working)
    return ActivationPeak(activations=activations, logits=logits, working=working)


def _in_flight(table: CostTable, batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Activations per chunk at the fullest moment, [M, p, v], and the row of each plan in them,
    [N]: one of every number of microbatches; where the chunks of a stage keep different
    amounts (`kept` [N, p, v], `differ` [p]) the moment depends on these as well."""
    kept, _ = microbatch_bytes(table, batch)
    largest = kept.max(axis=-1)
    differ = (largest - kept.min(axis=-1) > _SAME * largest).any(axis=0)
    if not differ.any():
        microbatches, which = np.unique(batch.num_microbatches, return_inverse=True)
        counted = peak_in_flight(
            batch.schedule,
            stages=batch.pipeline,
            virtual_stages=batch.virtual_stages,
            num_microbatches=microbatches,
        )
        return counted, which
    return heaviest_in_flight(
        batch.schedule,
        kept.astype(np.float64),
        stages=batch.pipeline,
        virtual_stages=batch.virtual_stages,
        num_microbatches=batch.num_microbatches,
        differ=differ,
    )


_SAME = 0.001
"""Share of what a chunk keeps below which a difference between chunks does not matter: positions
of tokens, say, that the embedding keeps."""


def microbatch_bytes(table: CostTable, batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What one microbatch leaves in every chunk until its backward, losses included, [N, p, v]; and
    the logits that a shared output layer keeps on every stage between its two passes, [N, p]."""
    load, row = batch.load, batch.row
    selective = (batch.granularity == SELECTIVE)[:, None]
    saved = np.where(selective, table.selective_bytes[row], table.saved_bytes[row])
    dropped = table.saved_bytes[row] - table.full_bytes[row]
    kept = np.einsum("pvk,nk->npv", batch.pass_counts, saved)
    kept -= np.einsum("npvk,nk->npv", load.leading[batch.fully_recomputed], dropped)
    logits = table.logits_bytes[row, -1]
    losses = _losses(table, load.counts)
    if batch.kind.shares_vocabulary:
        return kept, logits[:, None] * losses.any(axis=1)
    return kept + logits[:, None, None] * losses, np.zeros(kept.shape[:2], dtype=np.int64)


def embedding_parameters(scenario: Scenario, batch: Batch) -> NDArray[np.int64]:
    """Parameters of the token embedding on one device that has (its share of) it, int64 [N]."""
    ranks = batch.tensor * (batch.pipeline if batch.kind.shares_vocabulary else 1)
    different, inverse = np.unique(ranks, return_inverse=True)
    rows = np.array([scenario.model.padded_vocab_size(n) // n for n in different.tolist()])
    parameters: NDArray[np.int64] = rows[inverse] * scenario.model.hidden_size
    return parameters


def _logits(
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
    losses = _losses(table, batch.load.counts)
    if batch.kind.shares_vocabulary:
        shares: NDArray[np.int64] = logits_bytes * losses.any(axis=1)
        return shares
    kept: NDArray[np.int64] = (in_flight * losses).sum(axis=-1)[which]
    if not batch.kind.splits_backward or scenario.job.software.fused.loss_in_place:
        every: NDArray[np.int64] = kept * logits_bytes
        return every
    whole = np.minimum(kept, losses.sum(axis=-1))
    element_bytes = weight_bytes(scenario.job.precision)
    split: NDArray[np.int64] = logits_bytes * (4 * whole + element_bytes * (kept - whole)) // 4
    return split


def _losses(table: CostTable, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Losses computed by every chunk, [p, v]: the head's, and one of each multi-token-prediction
    module."""
    with_logits = (table.logits_bytes > 0).any(axis=0)
    losses: NDArray[np.int64] = counts[..., with_logits].sum(axis=-1)
    return losses


def _freed_before_embedding(table: CostTable, batch: Batch) -> NDArray[np.int64]:
    """Bytes, [N, p], that a microbatch's own backward pass has freed of the chunk with the
    embedding when it comes to that; -1 on stages without."""
    load, row = batch.load, batch.row
    freed = np.full((len(batch), batch.pipeline), -1, dtype=np.int64)
    selective = (batch.granularity == SELECTIVE)[:, None]
    saved = np.where(selective, table.selective_bytes[row], table.saved_bytes[row])
    dropped = table.saved_bytes[row] - table.full_bytes[row]
    for stage, chunk in np.argwhere(load.counts[..., -2] > 0):
        layers = load.counts[stage, chunk].copy()
        layers[-2:] = 0
        replayed = load.leading[batch.fully_recomputed, stage, chunk]
        freed[:, stage] = saved @ layers - (dropped * replayed).sum(axis=-1)
    return freed


def _kept(
    table: CostTable, batch: Batch, in_flight: NDArray[np.int64], which: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What all microbatches in flight leave on every stage and the most that one recomputed layer
    restores beyond what its microbatch has freed by then, [N, p] each. `in_flight` is [M, p, v];
    plan n has row `which[n]` of it."""
    load, row = batch.load, batch.row
    selective = (batch.granularity == SELECTIVE)[:, None]
    saved = np.where(selective, table.selective_bytes[row], table.saved_bytes[row])
    kept = _in_flight_bytes(in_flight, which, batch.pass_counts, saved)
    replayed = np.zeros_like(kept)
    dropped = table.saved_bytes[row] - table.full_bytes[row]
    full = batch.fully_recomputed
    for layers in np.unique(full[full > 0]):
        plans = np.flatnonzero(full == layers)
        leading = load.leading[layers]
        kept[plans] -= _in_flight_bytes(in_flight, which[plans], leading, dropped[plans])
        restored = largest_of_kinds(dropped, plans, leading.sum(axis=1) > 0)
        freed = _freed_before_replay(load, layers, table.saved_bytes[row[plans]])
        replayed[plans] = np.maximum(restored - freed, 0)
    return kept, replayed


def _freed_before_replay(
    load: StageLoad, layers: int, saved: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Bytes, [N, p], that a microbatch's own backward pass has freed when it comes to the first
    `layers` of a chunk, which it recomputes: those of the layers after them, in the chunk where
    that is least. `saved` is [N, K]."""
    after = load.counts - load.leading[layers]
    after[..., -2:] = 0
    freed = np.einsum("pvk,nk->npv", after, saved)
    recomputes = load.leading[layers].sum(axis=-1) > 0
    unused = np.iinfo(np.int64).max
    least: NDArray[np.int64] = np.where(recomputes, freed, unused).min(axis=-1)
    return np.where(least == unused, 0, least)


def _in_flight_bytes(
    in_flight: NDArray[np.int64],
    which: NDArray[np.intp],
    counts: NDArray[np.int64],
    layer_bytes: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Bytes of layers [N, K] times how often they are in flight on each stage, [N, p]: chunks are
    summed once per row of `in_flight`, not per plan."""
    layers = np.einsum("mpv,pvk->kmp", in_flight, counts)
    total = np.zeros((len(which), layers.shape[-1]), dtype=np.int64)
    for kind, in_flight_layers in enumerate(layers):
        total += in_flight_layers[which] * layer_bytes[:, kind, None]
    return total


def largest_of_kinds(
    layer_bytes: NDArray[np.int64],
    plans: NDArray[np.int64] | NDArray[np.bool_],
    present: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """The largest of [R, K] bytes among the kinds present on each stage [p, K], for the chosen
    rows, [N, p]. Stages that hold the same kinds share one answer."""
    first, which = distinct_rows(present.T)
    chosen = layer_bytes[plans]
    by_kinds = np.stack(
        [np.where(held, chosen, 0).max(axis=-1) for held in present[first]], axis=-1
    )
    largest: NDArray[np.int64] = by_kinds[:, which]
    return largest
