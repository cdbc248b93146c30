"""Whether combinations that do not fit with one stage layout may fit with another, from what every
stage lacks or has to spare: what is lacking somewhere has to find room elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.inflight import peak_in_flight
from planner.training.batch import FULL, OUTER_KINDS, SELECTIVE
from planner.training.memory.stage import bucket_copies_bytes, stage_peaks, state_bytes
from planner.training.search.mixed.speeds import layer_columns
from planner.workload.stages import StageLoad

if TYPE_CHECKING:
    from planner.arrays import Bools, Floats, Ints
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


def may_fit_elsewhere(
    scenario: Scenario, table: CostTable, batch: Batch, spare_bytes: Ints
) -> Bools:
    """[N]: false where no layout fits, given what the batch's own has to `spare_bytes` [N, p], all
    layers recomputed where any are. Every layer more takes at least its states and the activations
    of the microbatches in flight of the chunk that has fewest; a layer less frees at most those of
    the chunk that has most. With layers of several kinds, those of the commonest kind have to find
    room beside one of them in every chunk: a stage without any needs no buffers for them."""
    held = layer_columns(scenario)
    counts = batch.load.counts[..., held].sum(axis=(0, 1))
    kinds = held[counts > 0]
    ends = np.minimum(batch.load.counts[..., -OUTER_KINDS:].sum(axis=-1), 1).sum(axis=1)
    fewest = np.maximum(batch.virtual_stages - ends, 0)
    flights = _in_flight(batch)
    if len(kinds) > 1:
        kind = held[counts.argmax()]
        room = stage_peaks(scenario, table, _one_in_every_chunk(batch, int(kind))).spare
        states, _ = _state_bytes(scenario, table, batch, kinds=np.array([kind]))
        each = states + flights.min(axis=-1) * _kept_bytes(table, batch)[:, [kind]]
        most = np.where(room < 0, 0, batch.virtual_stages + np.floor(room / each))
        return np.asarray(most.sum(axis=1) >= counts.max())
    layers = batch.load.counts[..., held].sum(axis=(1, 2))
    states, copies = _state_bytes(scenario, table, batch, kinds)
    kept = _kept_bytes(table, batch)[:, kinds]
    slack = 1 + scenario.job.software.allocator_slack.value
    least = states + flights.min(axis=-1) * kept
    most = slack * (states + copies + flights.max(axis=-1) * kept)
    taken = np.floor(spare_bytes / np.where(spare_bytes >= 0, least, most))
    together = taken.sum(axis=1) >= 0
    return np.asarray(together & (layers + taken >= fewest).all(axis=1))


def _in_flight(batch: Batch) -> Ints:
    """[N, p, v]: microbatches in flight of every chunk."""
    counts, which = np.unique(batch.num_microbatches, return_inverse=True)
    found = peak_in_flight(
        batch.schedule,
        stages=batch.pipeline,
        virtual_stages=batch.virtual_stages,
        num_microbatches=counts,
    )
    return np.asarray(found[which])


def _one_in_every_chunk(batch: Batch, kind: int) -> Batch:
    counts = batch.load.counts.copy()
    counts[..., :-OUTER_KINDS] = 0
    counts[..., kind] = 1
    led = counts.copy()
    led[..., -OUTER_KINDS:] = 0
    load = StageLoad(counts=counts, leading=np.stack([np.zeros_like(led), led]))
    return replace(batch, load=load, recomputed_layers=np.ones(len(batch), dtype=np.int64))


def _state_bytes(
    scenario: Scenario, table: CostTable, batch: Batch, kinds: Ints
) -> tuple[Floats, Floats]:
    """[N, K] each: weights, gradients and optimizer states of a layer, and the buffers through
    which its gradients are copied."""
    dense = table.dense_parameters[batch.row][:, kinds]
    expert = table.expert_parameters[batch.row][:, kinds]
    states = state_bytes(scenario, batch, dense, expert, np.zeros_like(dense))
    copies = bucket_copies_bytes(scenario, dense + expert)
    return states.astype(np.float64), copies.astype(np.float64)


def _kept_bytes(table: CostTable, batch: Batch) -> Floats:
    """[N, K]: what a layer keeps of a microbatch in flight."""
    kept = table.saved_bytes[batch.row].astype(np.float64)
    for granularity, by_row in ((SELECTIVE, table.selective_bytes), (FULL, table.full_bytes)):
        some = batch.granularity == granularity
        kept[some] = by_row[batch.row[some]]
    return kept
