"""Lower bounds on a combination's step over all its stage layouts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import OUTER_KINDS
from planner.training.step.reduction import stage_gathers_s
from planner.training.step.sends import boundary_sends
from planner.training.step.stragglers import expected_slowest
from planner.training.step.update import optimizer_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats
    from planner.plan import Stage
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario

ENDLESS_S = 1e9
"""Seconds of a forward pass that hides everything that overlaps it."""


def beside_pipeline_s(scenario: Scenario, table: CostTable, batch: Batch) -> Floats:
    """[N]: lower bound on what plans take outside their pipelines, under every layout: some stage
    gathers its weights and updates them."""
    balanced = _balanced(batch)
    hiding = np.full((len(batch), batch.pipeline), ENDLESS_S)
    gather = stage_gathers_s(scenario, table, balanced, hiding).max(axis=-1)
    return np.asarray(gather + optimizer_s(scenario, table, balanced))


def update_s(scenario: Scenario, table: CostTable, batch: Batch) -> Floats:
    """[N]: the same without the gather."""
    return optimizer_s(scenario, table, _balanced(batch))


def _balanced(batch: Batch) -> Batch:
    """Plans whose stages all have the average number of layers of each kind, rounded down: some
    stage of any layout has at least as many."""
    total = batch.load.counts.sum(axis=(0, 1), keepdims=True)
    total[..., -OUTER_KINDS:] = 0
    even = np.broadcast_to(total // batch.pipeline, (batch.pipeline, *total.shape[1:]))
    return replace(batch, load=replace(batch.load, counts=even))


def waited_s(scenario: Scenario, table: CostTable, batch: Batch) -> Floats:
    """[N]: the least that any stage waits for its own messages, whatever it holds; 0 where links
    differ between replicas."""
    sends = boundary_sends(scenario, table, batch)
    if sends.mode in ("asynchronous", "overlapped") or not scenario.topology.symmetric:
        return np.zeros(len(batch))
    p, v, m = batch.pipeline, batch.virtual_stages, batch.num_microbatches[:, None]
    none = np.zeros((len(batch), 1))
    forward = np.append(sends.forward_s, none, axis=1).reshape(-1, v, p).sum(axis=1)
    backward = np.append(none, sends.backward_s, axis=1).reshape(-1, v, p).sum(axis=1)
    held = forward + backward if sends.mode == "blocking" else np.maximum(forward, backward)
    return np.asarray(((m - 1) * held).min(axis=1))


def jitter_share(scenario: Scenario, pipeline: int) -> float:
    """The least share of the average stage's work by which a step is longer because its devices
    differ (`planner.training.step.parts.jitter_s` with one stage waited for)."""
    variation = max(device.speed_variation for device in scenario.device_types)
    return variation * max(expected_slowest(scenario.job.devices // pipeline), 0.0)


def other_layouts_s(
    batch: Batch,
    stages: Sequence[Stage],
    kinds: Sequence[int],
    forward_s: Floats,
    layer_s: Floats,
    stage_s: Floats,
    reduction_s: Floats,
) -> Floats:
    """[N]: lower bound in seconds on the pipeline under every layout except the batch's own.

    forward_s, layer_s: [N, K], a layer's forward and its forward and backward; stage_s: [N, p],
    what a stage does with one microbatch; reduction_s: [N, p], its gradient reduction at the end;
    kinds: those of the model's layers in order.

    Where stages hold one chunk, some stage of another layout holds everything that it holds in this
    one and the layer before or after it: follow the first boundary that differs. Where all layers
    are alike, some stage of a layout with other totals holds one layer more. That stage does its
    work. Or one microbatch goes round the whole pipeline, and the stage does the forwards that had
    to wait for it and all other backwards (`stage_bounds.Rows`, the late path). Besides, no layout
    is faster than the average of these paths over all stages.
    """
    m = batch.num_microbatches.astype(np.float64)
    one_order = batch.virtual_stages == 1 and not batch.kind.runs_ahead
    returns = one_order and batch.kind.returns_to_first
    total = batch.load.counts.sum(axis=(0, 1)).astype(np.float64)
    way_s, way_forward_s = layer_s @ total, forward_s @ total
    held_forward = forward_s @ batch.load.of_stages.T.astype(np.float64)
    counted, which = batch.in_flight
    in_flight = counted[which, :, 0]
    least = np.full(len(batch), np.inf)
    for stage in stages:
        s = stage.index
        beside = {place for start, end in stage.chunks for place in (start - 1, end)}
        for kind in {kinds[place] for place in beside if 0 <= place < len(kinds)}:
            seconds = stage_s[:, s] + layer_s[:, kind]
            path = m * seconds
            reduced = path + reduction_s[:, s]
            if returns:
                forward = held_forward[:, s] + forward_s[:, kind]
                late = path - np.minimum(in_flight[:, s], m) * forward - (seconds - forward)
                path = np.maximum(path, way_s + late)
            least = np.minimum(least, np.maximum(path, reduced))
    if batch.virtual_stages > 1:
        # The same layers on every stage, spread differently over its chunks.
        least = np.minimum(least, (m[:, None] * stage_s).max(axis=1))
    average = m * way_s / batch.pipeline
    if returns:
        waiting = np.minimum(in_flight.max(axis=1), m) * way_forward_s + way_s - way_forward_s
        average = np.maximum(average, way_s + average - waiting / batch.pipeline)
    return np.asarray(np.maximum(least, average))
