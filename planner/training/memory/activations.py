"""Activations at the forward/backward peak of every stage of every plan of a batch.

The peak has the most microbatches in flight. It comes while the loss is computed (logits alive), in
the backward pass of a layer (its gradients and, under full recomputation, everything it saved), or
in that of the embedding, whose gradient is dense, when the microbatch's layers are freed already.

Letters: N plans, M different counts of microbatches in flight, p stages, v chunks of a stage, K
kinds of layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.arrays import distinct, distinct_rows
from planner.schedule.inflight import heaviest_in_flight, peak_in_flight
from planner.training.batch import FULLY, OUTER_KINDS, SELECTIVE
from planner.training.memory.embedding import embedding_parameters
from planner.workload.formats import STATE_BYTES, weight_bytes
from planner.workload.shard import Shard
from planner.workload.stages import HeldKinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.memory.units import ShardedUnits
    from planner.training.scenario import Scenario
    from planner.workload.stages import StageLoad


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActivationPeak:
    """Bytes, int64 [N, p] each: kept by microbatches in flight, of the losses among them, what
    lives only for a moment, and of the kept those that may be offloaded."""

    activations: NDArray[np.int64]
    logits: NDArray[np.int64]
    working: NDArray[np.int64]
    movable: NDArray[np.int64]

    def offloaded(self, scenario: Scenario, table: CostTable, batch: Batch) -> NDArray[np.int64]:
        """Bytes of the activations that are on the hosts, [N, p]: a share of those that may be, but
        for the layers, or chunks, in whose passes they leave and come back."""
        offload = scenario.job.software.offload
        window = offload.activation_window.value
        full = (batch.fully_recomputed > 0)[:, None]
        of_layers = movable_of_layers(table, batch)
        if offload.moves == "chunk":
            of_chunks = np.einsum("pvk,nk->npv", batch.pass_counts, of_layers)
            under_way = np.where(full, 0, of_chunks.max(axis=-1))
        else:
            present = batch.load.counts.sum(axis=1) > 0
            present[:, -OUTER_KINDS:] = False
            under_way = np.where(
                full,
                largest_of_kinds(table.full_bytes, batch.row, present),
                largest_of_kinds(of_layers, np.arange(len(batch)), present),
            )
        movable = np.where(full, self.activations, np.minimum(self.movable, self.activations))
        rest = np.maximum(movable - window * under_way, 0)
        return np.asarray((batch.host_activations[:, None] * rest).astype(np.int64))


def movable_of_layers(table: CostTable, batch: Batch) -> NDArray[np.int64]:
    """Bytes, [N, K], of a layer of every kind that may be offloaded, unless all of the layer is
    computed again."""
    return np.where(
        (batch.granularity == SELECTIVE)[:, None],
        table.selective_movable_bytes[batch.row],
        table.movable_bytes[batch.row],
    )


def activation_peak(
    scenario: Scenario,
    table: CostTable,
    batch: Batch,
    units: ShardedUnits,
    *,
    dense_gradients: bool = True,
) -> ActivationPeak:
    """The fullest instant of each stage, a split backward kept until its weight gradients, with
    what of fully sharded `units` lives in it. Without `dense_gradients` that of an embedding is
    left out. Plans that differ only in degrees that no layer sees, or in how states are sharded,
    share it."""
    which = distinct_rows(
        (
            batch.row,
            batch.granularity,
            batch.fully_recomputed,
            batch.num_microbatches,
            batch.data_sharding == FULLY,
            *(() if batch.ahead is None else batch.ahead.T),
        )
    )
    peak = _different_peaks(
        scenario, table, batch.some(which.first), units.some(which.first), dense_gradients
    )
    return ActivationPeak(
        activations=peak.activations[which.which],
        logits=peak.logits[which.which],
        working=peak.working[which.which],
        movable=peak.movable[which.which],
    )


def _different_peaks(
    scenario: Scenario,
    table: CostTable,
    batch: Batch,
    units: ShardedUnits,
    dense_gradients: bool,
) -> ActivationPeak:
    row, load = batch.row, batch.load
    in_flight, which = _in_flight(table, batch)
    activations, replayed = _kept(table, batch, in_flight, which)
    movable = (
        _in_flight_bytes(in_flight, which, batch.pass_counts, movable_of_layers(table, batch))
        if batch.offloads
        else np.zeros_like(activations)
    )
    activations = activations + _beside(table, batch, in_flight, which)

    has_loss = _losses(table, load.counts).any(axis=1)
    last_loss = has_loss * table.logits_bytes[row, -1][:, None]
    logits = np.maximum(_logits(scenario, table, batch, in_flight, which), last_loss)
    logits = logits + _outputs(scenario, batch, last_loss)
    at_loss = has_loss * table.logits_working_bytes[row, -1][:, None]
    dense_gradient = weight_bytes(scenario.job.precision) * embedding_parameters(scenario, batch)
    present = load.of_stages > 0
    present[:, -1] = False
    fully = (batch.data_sharding == FULLY)[:, None]
    in_layer = replayed + np.where(
        fully,
        largest_of_kinds(table.working_bytes, row, present),
        largest_of_kinds(table.backward_bytes, row, present),
    )
    nothing = np.zeros_like(last_loss)
    if batch.kind.shares_vocabulary:
        shared = Phase(at_loss + dense_gradient[:, None], nothing, nothing)
        phases = [shared, Phase(in_layer, nothing, nothing)]
        return fullest(activations, logits, movable, phases)
    ends = loss_ends(scenario)
    in_head = (
        has_loss
        * np.where(fully[:, 0], table.working_bytes[row, -1], table.backward_bytes[row, -1])[
            :, None
        ]
    )
    if ends.overlaps_head:
        at_loss = at_loss + has_loss * table.working_bytes[row, -1][:, None]
    after_head = nothing if ends.keeps_into_layers else last_loss
    phases = [
        Phase(at_loss + units.at_loss, nothing, nothing),
        Phase(in_head + units.at_loss, nothing if ends.keeps_into_head else last_loss, nothing),
        Phase(in_layer + units.in_layer, after_head, nothing),
    ]
    if dense_gradients:
        freed = _freed_before_embedding(table, batch)
        in_embedding = dense_gradient[:, None] + table.residual_bytes[row, None]
        held = (freed >= 0) & ~fully
        phases.append(
            Phase(np.where(held, in_embedding, 0), after_head, np.where(held, freed, nothing))
        )
    return fullest(activations, logits, movable, phases)


class Phase(NamedTuple):
    """An instant of the backward pass, int64 [N, p] each: what lives for the moment, and what is
    freed by then of the logits and activations that the fullest moment has."""

    working: NDArray[np.int64]
    freed_logits: NDArray[np.int64]
    freed_activations: NDArray[np.int64]


def fullest(
    activations: NDArray[np.int64],
    logits: NDArray[np.int64],
    movable: NDArray[np.int64],
    phases: Sequence[Phase],
) -> ActivationPeak:
    """The phase in which each stage of each plan holds most; of equals the first."""
    totals = np.stack([p.working - p.freed_logits - p.freed_activations for p in phases])
    chosen = totals.argmax(axis=0)
    working, freed_logits, freed_activations = (
        np.take_along_axis(np.stack(parts), chosen[None], axis=0)[0]
        for parts in zip(*phases, strict=True)
    )
    return ActivationPeak(
        activations=activations - freed_activations,
        logits=logits - freed_logits,
        working=working,
        movable=movable,
    )


def _in_flight(table: CostTable, batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Activations per chunk at the fullest moment, [M, p, v], and the row of each plan in them,
    [N]: one of every number of microbatches; where the chunks of a stage keep different
    amounts (`kept` [N, p, v], `differ` [p]) the moment depends on these as well. With one chunk
    they depend on the microbatches that run ahead."""
    if batch.ahead is not None:
        first, which = distinct_rows((batch.num_microbatches, *batch.ahead.T))
        counted = peak_in_flight(
            batch.schedule,
            stages=batch.pipeline,
            num_microbatches=batch.num_microbatches[first],
            ahead=batch.ahead[first],
        )
        return counted[:, batch.stages], which
    kept, _ = microbatch_bytes(table, batch)
    largest = kept.max(axis=-1)
    differ = (largest - kept.min(axis=-1) > _SAME * largest).any(axis=0)
    if not differ.any():
        return batch.in_flight
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
    if not batch.kind.splits_backward or scenario.workload(Shard()).keeps_logits:
        every: NDArray[np.int64] = kept * logits_bytes
        return every
    whole = np.minimum(kept, losses.sum(axis=-1))
    element_bytes = weight_bytes(scenario.job.precision)
    split: NDArray[np.int64] = logits_bytes * (4 * whole + element_bytes * (kept - whole)) // 4
    return split


def _beside(
    table: CostTable, batch: Batch, in_flight: NDArray[np.int64], which: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Bytes, [N, p], of the pass that runs beside another microbatch's where exchanges of experts
    do: one more forward pass through a chunk comes before the first backward pass (Megatron-LM
    `schedules.py`, `get_pp_rank_microbatches`). Of a single stage it is one layer, as layers of the
    one microbatch are freed while those of the other are kept (`combined_1f1b.py`)."""
    overlapped = table.overlapped[batch.row]
    if not overlapped.any():
        return np.zeros((len(batch), len(batch.stages)), dtype=np.int64)
    if batch.pipeline == 1:
        present = batch.load.counts.sum(axis=1) > 0
        present[:, -OUTER_KINDS:] = False
        selective = (batch.granularity == SELECTIVE)[:, None]
        saved = np.where(selective, table.selective_bytes[batch.row], table.saved_bytes[batch.row])
        more = np.where(present, saved[:, None], 0).max(axis=-1)
    else:
        more = microbatch_bytes(table, batch)[0].max(axis=-1)
    chunks = batch.chunk_microbatches[:, None] * batch.virtual_stages
    room = in_flight.sum(axis=-1)[which] < chunks
    beside: NDArray[np.int64] = more * (room & overlapped[:, None])
    return beside


def _outputs(scenario: Scenario, batch: Batch, last_loss: NDArray[np.int64]) -> NDArray[np.int64]:
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
    freed = np.full((len(batch), len(batch.stages)), -1, dtype=np.int64)
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
    restores beyond what its microbatch has freed by then, [N, p] each; under selective
    recomputation, what the backward pass of one layer computes again. `in_flight` is [M, p, v];
    plan n has row `which[n]` of it."""
    load, row = batch.load, batch.row
    selective = (batch.granularity == SELECTIVE)[:, None]
    saved = np.where(selective, table.selective_bytes[row], table.saved_bytes[row])
    kept = _in_flight_bytes(in_flight, which, batch.pass_counts, saved)
    present = load.of_stages > 0
    again = largest_of_kinds(table.saved_bytes - table.selective_bytes, row, present)
    replayed = np.where(selective, np.maximum(again, 0), 0)
    dropped = table.saved_bytes[row] - table.full_bytes[row]
    full = batch.fully_recomputed
    for layers in distinct(full[full > 0]):
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
    held = HeldKinds.of(present)
    chosen = layer_bytes[plans]
    by_set = np.stack([np.where(kinds, chosen, 0).max(axis=-1) for kinds in held.sets], axis=-1)
    largest: NDArray[np.int64] = by_set[:, held.which]
    return largest
