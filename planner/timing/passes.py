"""Seconds of one microbatch's forward and backward pass through every chunk of every plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.batch import FULL, FULLY, OPTIMIZER_AND_GRADIENTS, SELECTIVE
from planner.hardware.collectives import all_gather_s, reduce_scatter_s
from planner.memory.stage import STATE_BYTES, stage_parameters
from planner.timing.reduction import by_degrees

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.batch import Batch
    from planner.costs import CostTable
    from planner.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Passes:
    """forward_s and backward_s are [causes, N, p, v], exposed seconds in the order of
    `planner.costs.CAUSES` with the data axis last; recompute_s is [N, p, v] and belongs to the
    backward pass on top of it. weight_gradient_s [N, p, v] is the part of the backward pass that
    zero-bubble schedules can move."""

    forward_s: NDArray[np.float64]
    backward_s: NDArray[np.float64]
    recompute_s: NDArray[np.float64]
    weight_gradient_s: NDArray[np.float64]
    hidden_s: NDArray[np.float64]

    @property
    def total_forward_s(self) -> NDArray[np.float64]:
        total: NDArray[np.float64] = self.forward_s.sum(axis=0)
        return total

    @property
    def total_backward_s(self) -> NDArray[np.float64]:
        total: NDArray[np.float64] = self.backward_s.sum(axis=0) + self.recompute_s
        return total


def chunk_passes(scenario: Scenario, table: CostTable, batch: Batch) -> Passes:
    """Price every chunk. A stage runs at the speed of its slowest device type."""
    row, load = batch.row, batch.load
    slowest = _slowest_types(scenario, table, batch)
    forward = _on_types(table.forward_s[:, :, row], slowest)
    backward = _on_types(table.backward_s[:, :, row], slowest)
    counts = load.counts

    def per_chunk(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        chunk: NDArray[np.float64] = np.einsum("...npk,pvk->...npv", seconds, counts)
        return chunk

    forward_s, backward_s = per_chunk(forward), per_chunk(backward)
    selective = _on_types(table.selective_s[:, row], slowest)
    recompute_s = per_chunk(selective) * (batch.granularity == SELECTIVE)[:, None, None]
    if (batch.granularity == FULL).any():
        replayed = load.leading[batch.fully_recomputed]
        recompute_s = recompute_s + np.einsum("npk,npvk->npv", forward.sum(axis=0), replayed)
    gathers, reductions = _sharded_traffic(scenario, table, batch)
    forward_data = _exposed(scenario, "parameter_gather", gathers, forward_s.sum(axis=0), batch)
    backward_data = _exposed(
        scenario, "parameter_gather", gathers, backward_s.sum(axis=0) + recompute_s, batch
    ) + _exposed(
        scenario, "gradient_reduce", reductions, backward_s.sum(axis=0) + recompute_s, batch
    )
    hidden = _on_types(table.hidden_s[:, row], slowest)
    return Passes(
        forward_s=np.concatenate([forward_s, forward_data[None]]),
        backward_s=np.concatenate([backward_s, backward_data[None]]),
        recompute_s=recompute_s,
        weight_gradient_s=per_chunk(_on_types(table.weight_gradient_s[:, row], slowest)),
        hidden_s=per_chunk(hidden),
    )


def _slowest_types(scenario: Scenario, table: CostTable, batch: Batch) -> NDArray[np.int64] | None:
    """int64 [N, p]: the device type that holds each stage back; None when there is one type."""
    if len(scenario.device_types) == 1:
        return None
    seconds = (table.forward_s + table.backward_s).sum(axis=(0, 3))[:, batch.row]
    slowest = np.empty((len(batch), batch.pipeline), dtype=np.int64)
    for stage, types in enumerate(scenario.stage_types(batch.pipeline)):
        slowest[:, stage] = np.array(types)[seconds[list(types)].argmax(axis=0)]
    return slowest


def _on_types(seconds: NDArray[np.float64], types: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """[..., T, N, K] → [..., N, p, K], taking each stage's type; p is 1 when all are alike."""
    if types is None:
        return seconds[..., 0, :, None, :]
    plans = np.arange(seconds.shape[-2])[:, None]
    by_stage: NDArray[np.float64] = seconds[..., types, plans, :]
    return by_stage


def _sharded_traffic(
    scenario: Scenario, table: CostTable, batch: Batch
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Seconds per microbatch and stage, [N, p] each, of gathering fully sharded weights once and
    of reduce-scattering gradients that no device keeps whole (ZeRO-2 and 3 reduce them for every
    microbatch)."""
    shape = (len(batch), batch.pipeline)
    if (batch.data_sharding < OPTIMIZER_AND_GRADIENTS).all():
        return np.zeros(shape), np.zeros(shape)
    dense, expert = stage_parameters(scenario, table, batch)
    reduce_bytes = STATE_BYTES[scenario.job.software.gradient_reduce_dtype]
    weight_bytes = 4 if scenario.job.precision == "fp32" else 2
    gathers = by_degrees(scenario, batch, dense, expert, weight_bytes, all_gather_s)
    reductions = by_degrees(scenario, batch, dense, expert, reduce_bytes, reduce_scatter_s)
    return (
        np.where((batch.data_sharding == FULLY)[:, None], gathers, 0.0),
        np.where((batch.data_sharding >= OPTIMIZER_AND_GRADIENTS)[:, None], reductions, 0.0),
    )


def _exposed(
    scenario: Scenario,
    overlap: str,
    stage_s: NDArray[np.float64],
    cover_s: NDArray[np.float64],
    batch: Batch,
) -> NDArray[np.float64]:
    """A stage's traffic spread over its chunks, [N, p, v]: all of it, or with the overlap on what
    outlasts the pass, and never less than one layer's share, which has nothing to run beside."""
    layers = np.maximum(batch.load.counts.sum(axis=-1), 1)
    share = layers / layers.sum(axis=-1, keepdims=True)
    chunk_s = stage_s[..., None] * share
    if overlap not in scenario.job.software.overlap:
        return chunk_s
    exposed: NDArray[np.float64] = np.maximum(chunk_s - cover_s, chunk_s / layers)
    return exposed
