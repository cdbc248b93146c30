"""Whether combinations that do not fit with one stage layout may fit with another, from what every
stage lacks or has to spare: what is lacking somewhere has to find room elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import FULL, OUTER_KINDS, SELECTIVE
from planner.training.memory.stage import bucket_copies_bytes
from planner.training.memory.states import state_bytes
from planner.training.search.mixed.speeds import layer_columns

if TYPE_CHECKING:
    from planner.arrays import Bools, Floats, Ints
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


def may_fit_elsewhere(
    scenario: Scenario, table: CostTable, batch: Batch, spare_bytes: Ints, transient_bytes: Ints
) -> Bools:
    """[N]: false where no layout fits, given what the batch's own has to `spare_bytes` [N, p], all
    layers recomputed where any are. Every layer more takes at least its states and the activations
    of the microbatches in flight of the chunk that has fewest. A layer less frees at most those of
    the chunk that has most; a stage without any of its kind also lacks its `transient_bytes`."""
    held = layer_columns(scenario)
    layers = batch.load.counts[..., held].sum(axis=(1, 2))
    kinds = held[batch.load.counts[..., held].sum(axis=(0, 1)) > 0]
    ends = np.minimum(batch.load.counts[..., -OUTER_KINDS:].sum(axis=-1), 1).sum(axis=1)
    fewest = np.maximum(batch.virtual_stages - ends, 0)
    states, copies = _state_bytes(scenario, table, batch, kinds)
    kept = _kept_bytes(table, batch)[:, kinds]
    slack = 1 + scenario.job.software.slack
    counted, which = batch.in_flight
    flights = counted[which]
    least = states.min(axis=1)[:, None] + flights.min(axis=-1) * kept.min(axis=1)[:, None]
    if scenario.job.software.resume.counts:
        # The fullest moment may be that of a resumed job: no activations, and more of the states.
        least, copies = np.broadcast_to(states.min(axis=1)[:, None], least.shape), copies + states
    most = (states + copies).max(axis=1)[:, None] + flights.max(axis=-1) * kept.max(axis=1)[:, None]
    without = (fewest == 0) | (len(kinds) > 1)
    freed = slack * transient_bytes * without
    lacking = np.minimum(spare_bytes + freed, 0.0) / (slack * most)
    taken = np.floor(np.where(spare_bytes >= 0, spare_bytes / least, lacking))
    together = taken.sum(axis=1) >= 0
    return np.asarray(together & (layers + taken >= fewest).all(axis=1))


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
