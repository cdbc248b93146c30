"""What microbatches in flight leave on every stage
of every plan of a batch until their backward pass.

Letters as in `planner.training.memory.activations`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import distinct, distinct_rows
from planner.schedule.inflight import heaviest_in_flight, peak_in_flight
from planner.training.batch import OUTER_KINDS, SELECTIVE
from planner.training.memory.losses import computed_losses
from planner.workload.stages import HeldKinds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.workload.stages import StageLoad


def heaviest(table: CostTable, batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
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
    if batch.virtual_stages == 1:
        return batch.in_flight
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
        stage_of=batch.loads_of,
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
    replayed = batch.fully_recomputed
    if replayed.any():
        kept -= np.einsum("npvk,nk->npv", load.leading[replayed], dropped)
    logits = table.logits_bytes[row, -1]
    losses = computed_losses(table, load.counts)
    if batch.kind.shares_vocabulary:
        return kept, logits[:, None] * losses.any(axis=1)
    return kept + logits[:, None, None] * losses, np.zeros(kept.shape[:2], dtype=np.int64)


def beside(
    table: CostTable,
    batch: Batch,
    in_flight: NDArray[np.int64],
    which: NDArray[np.intp],
    movable: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Bytes, [N, p], of the pass that runs beside another microbatch's where exchanges of experts
    do: one more forward pass through a chunk comes before the first backward pass (Megatron-LM
    `schedules.py`, `get_pp_rank_microbatches`). Of a single stage it is one layer, as layers of the
    one microbatch are freed while those of the other are kept (`combined_1f1b.py`). With the
    `movable` bytes of layers, [N, K], those of it that may be offloaded."""
    overlapped = table.overlapped[batch.row]
    if not overlapped.any():
        return np.zeros((len(batch), len(batch.stages)), dtype=np.int64)
    if batch.pipeline == 1:
        present = batch.load.counts.sum(axis=1) > 0
        present[:, -OUTER_KINDS:] = False
        selective = (batch.granularity == SELECTIVE)[:, None]
        saved = np.where(selective, table.selective_bytes[batch.row], table.saved_bytes[batch.row])
        of_layers = saved if movable is None else movable
        more = np.where(present, of_layers[:, None], 0).max(axis=-1)
    elif movable is not None:
        more = np.einsum("pvk,nk->npv", batch.pass_counts, movable).max(axis=-1)
    else:
        more = microbatch_bytes(table, batch)[0].max(axis=-1)
    chunks = batch.chunk_microbatches[:, None] * batch.virtual_stages
    room = in_flight.sum(axis=-1)[which] < chunks
    beside: NDArray[np.int64] = more * (room & overlapped[:, None])
    return beside


def kept_in_flight(
    table: CostTable, batch: Batch, in_flight: NDArray[np.int64], which: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What all microbatches in flight leave on every stage and the most that one recomputed layer
    restores beyond what its microbatch has freed by then, [N, p] each; under selective
    recomputation, what the backward pass of one layer computes again. `in_flight` is [M, p, v];
    plan n has row `which[n]` of it."""
    load, row = batch.load, batch.row
    selective = (batch.granularity == SELECTIVE)[:, None]
    saved = np.where(selective, table.selective_bytes[row], table.saved_bytes[row])
    kept = in_flight_bytes(in_flight, which, batch.pass_counts, saved)
    replayed = np.zeros_like(kept)
    if selective.any():
        again = largest_of_kinds(table.saved_bytes[row] - table.selective_bytes[row], load.held)
        replayed = np.where(selective, np.maximum(again, 0), 0)
    dropped = table.saved_bytes[row] - table.full_bytes[row]
    full = batch.fully_recomputed
    for layers in distinct(full[full > 0]):
        plans = np.flatnonzero(full == layers)
        leading = load.leading[layers]
        kept[plans] -= in_flight_bytes(in_flight, which[plans], leading, dropped[plans])
        restored = largest_of_kinds(dropped[plans], HeldKinds.of(leading.sum(axis=1) > 0))
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


def in_flight_bytes(
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


def largest_of_kinds(layer_bytes: NDArray[np.int64], held: HeldKinds) -> NDArray[np.int64]:
    """The largest of [N, K] bytes among the kinds that each stage holds, [N, p]. Stages that hold
    the same kinds share one answer."""
    largest: NDArray[np.int64] = largest_by_set(layer_bytes.T, held)[:, held.which]
    return largest


def largest_by_set(of_kinds: NDArray[np.int64], held: HeldKinds) -> NDArray[np.int64]:
    """[..., S]: the largest of [K, ...] bytes among the kinds of each set, at least 0."""
    by_set = [of_kinds[kinds].max(axis=0, initial=0) for kinds in held.sets]
    return np.stack(by_set, axis=-1)
