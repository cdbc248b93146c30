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

from planner.arrays import distinct_rows
from planner.training.batch import FULLY, OUTER_KINDS, SELECTIVE
from planner.training.memory.in_flight import (
    beside,
    heaviest,
    in_flight_bytes,
    kept_in_flight,
    largest_of_kinds,
)
from planner.training.memory.losses import computed_losses, kept_logits, kept_outputs, loss_ends
from planner.training.memory.parameters import copied_embeddings, embedding_parameters
from planner.workload.formats import weight_bytes
from planner.workload.stages import HeldKinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.memory.units import ShardedUnits
    from planner.training.scenario import Scenario


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
            held = batch.load.counts.sum(axis=1) > 0
            held[:, -OUTER_KINDS:] = False
            present = HeldKinds.of(held)
            under_way = np.where(
                full,
                largest_of_kinds(table.full_bytes[batch.row], present),
                largest_of_kinds(of_layers, present),
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
    in_flight, which = heaviest(table, batch)
    activations, replayed = kept_in_flight(table, batch, in_flight, which)
    movable = np.zeros_like(activations)
    if batch.offloads:
        of_layers = movable_of_layers(table, batch)
        movable = in_flight_bytes(in_flight, which, batch.pass_counts, of_layers)
        movable = movable + beside(table, batch, in_flight, which, of_layers)
    activations = activations + beside(table, batch, in_flight, which)

    has_loss = computed_losses(table, load.counts).any(axis=1)
    last_loss = has_loss * table.logits_bytes[row, -1][:, None]
    logits = np.maximum(kept_logits(scenario, table, batch, in_flight, which), last_loss)
    logits = logits + kept_outputs(scenario, batch, last_loss)
    at_loss = has_loss * table.logits_working_bytes[row, -1][:, None]
    dense_gradient = weight_bytes(scenario.job.precision) * embedding_parameters(scenario, batch)
    present = load.held_below_head
    fully = (batch.data_sharding == FULLY)[:, None]
    in_layer = replayed + np.where(
        fully,
        largest_of_kinds(table.working_bytes[row], present),
        largest_of_kinds(table.backward_bytes[row], present),
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
    copied = copied_embeddings(scenario, batch)
    if dense_gradients and copied.any():
        in_copy = dense_gradient[:, None] + table.residual_bytes[row, None]
        phases.append(Phase(np.where(copied & ~fully, in_copy, 0), after_head, nothing))
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
    first, *others = phases
    working, freed_logits, freed_activations = (part.copy() for part in first)
    most = working - freed_logits - freed_activations
    for phase in others:
        total = phase.working - phase.freed_logits - phase.freed_activations
        more = total > most
        if not more.any():
            continue
        for kept, part in zip(
            (most, working, freed_logits, freed_activations), (total, *phase), strict=True
        ):
            np.copyto(kept, part, where=more)
    return ActivationPeak(
        activations=activations - freed_activations,
        logits=logits - freed_logits,
        working=working,
        movable=movable,
    )


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
