"""Seconds of one microbatch's forward and backward pass through every chunk of every plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import distinct
from planner.hardware.collectives import all_gather_s, all_reduce_s, reduce_scatter_s
from planner.training.batch import SELECTIVE
from planner.training.costs import all_causes_s
from planner.training.layer.overlap import exposed_s, overlap_cost
from planner.training.memory.parameters import stage_parameters
from planner.training.memory.sharding import (
    reduced_every_microbatch,
    resharded,
    state_groups,
)
from planner.training.step.offload import activations_s, gradients_down_s, weights_up_s
from planner.training.step.reduction import between_groups_s, by_degrees
from planner.workload.formats import gathered_weight_bytes, reduced_gradient_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from planner.hardware.group import ProcessGroup
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Passes:
    """Exposed seconds per microbatch, [N, p, v] each. `backward_s` contains recomputation, both
    contain the data-axis traffic of every microbatch."""

    forward_s: NDArray[np.float64]
    backward_s: NDArray[np.float64]
    recompute_s: NDArray[np.float64]
    data_s: NDArray[np.float64]
    offload_s: NDArray[np.float64] | float = 0.0
    """What of the passes is the way from and to the memory of the host."""


def chunk_passes(scenario: Scenario, table: CostTable, batch: Batch) -> Passes:
    """Price every chunk. A stage runs at the speed of its slowest device type."""
    slowest = _slowest_types(scenario, table, batch)
    forward_s = _per_chunk(_all_causes_s(table.forward_s, batch, slowest), batch)
    backward_s = _per_chunk(_all_causes_s(table.backward_s, batch, slowest), batch)
    if table.overlapped[batch.row].any():
        forward_s, backward_s = (
            paired_s
            + alone * (_per_chunk(_all_causes_s(layers_s, batch, slowest), batch) - paired_s)
            for alone in (1 - paired_share(batch)[..., None],)
            for paired_s, layers_s in (
                (forward_s, table.forward_alone_s),
                (backward_s, table.backward_alone_s),
            )
        )
    recompute_s = np.zeros_like(forward_s)
    selective = batch.granularity == SELECTIVE
    if selective.any():
        replayed_layers = _on_types(table.selective_s, batch, slowest)
        recompute_s = _per_chunk(replayed_layers, batch) * selective[:, None, None]
    recompute_s += _fully_recomputed(_on_types(table.full_s, batch, slowest), batch)
    backward_s += recompute_s
    forward_data_s, backward_data_s = _data_traffic(scenario, table, batch, forward_s, backward_s)
    forward_s, backward_s = forward_s + forward_data_s, backward_s + backward_data_s
    data_s = np.broadcast_to(forward_data_s + backward_data_s, forward_s.shape)
    if not batch.offloads:
        return Passes(
            forward_s=forward_s, backward_s=backward_s, recompute_s=recompute_s, data_s=data_s
        )
    there_s, back_s = _host_traffic(scenario, table, batch, forward_s, backward_s)
    return Passes(
        forward_s=forward_s + there_s,
        backward_s=backward_s + back_s,
        recompute_s=recompute_s,
        data_s=data_s,
        offload_s=there_s + back_s,
    )


def _host_traffic(
    scenario: Scenario,
    table: CostTable,
    batch: Batch,
    forward_s: NDArray[np.float64],
    backward_s: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exposed seconds of forward and of backward passes, [N, p, v] each: of weights that come from
    the host, fetched ahead where gathers are, of activations that go there and come back, and of
    gradients that go there."""
    dense, expert = stage_parameters(scenario, table, batch)
    weights_s = weights_up_s(scenario, batch, dense, expert)
    passes = (forward_s, backward_s)
    up_s = [_exposed(scenario, "parameter_gather", weights_s, cover, batch) for cover in passes]
    gradients_s = gradients_down_s(scenario, batch, dense, expert, backward_s.sum(axis=-1))
    layers = np.maximum(batch.load.counts.sum(axis=-1), 1)
    share = layers / layers.sum(axis=-1, keepdims=True)
    kept_s = [activations_s(scenario, table, batch, cover) for cover in passes]
    return up_s[0] + kept_s[0], up_s[1] + kept_s[1] + gradients_s[..., None] * share


def paired_share(batch: Batch) -> NDArray[np.float64]:
    """[N, p]: share of a stage's passes that overlap with a pass of another microbatch: all but the
    forward passes of its warm-up and one more (Megatron-LM `combined_1f1b.py`,
    `get_pp_rank_microbatches`)."""
    pipeline, chunks = batch.pipeline, batch.virtual_stages
    behind = pipeline - 1 - np.arange(pipeline)
    warm_up = behind if chunks == 1 else (chunks - 1) * pipeline + 2 * behind
    passes = batch.chunk_microbatches[:, None] * chunks
    share: NDArray[np.float64] = 1 - np.minimum((warm_up + 1) / passes, 1.0)
    return share


def host_bound_s(
    scenario: Scenario, table: CostTable, batch: Batch, stage: int
) -> NDArray[np.float64]:
    """[N]: seconds by which one microbatch's passes through a stage are longer than the device's
    work because the host launches it, full recomputation included."""
    redone = _on_types(table.forward_host_bound_s, batch, _slowest_types(scenario, table, batch))
    chunks = chunk_seconds(scenario, table, batch, table.host_bound_s)
    seconds: NDArray[np.float64] = (chunks + _fully_recomputed(redone, batch)).sum(axis=-1)
    return seconds[:, stage]


def _fully_recomputed(layer_s: NDArray[np.float64], batch: Batch) -> NDArray[np.float64]:
    """[N, p or 1, K] seconds of layers summed over those that full recomputation redoes,
    [N, p, v]."""
    found = np.zeros((len(batch), *batch.pass_counts.shape[:2]))
    full = batch.fully_recomputed
    for layers in distinct(full[full > 0]):
        plans = full == layers
        found[plans] = np.einsum("npk,pvk->npv", layer_s[plans], batch.load.leading[layers])
    return found


def stage_causes(
    scenario: Scenario, table: CostTable, batch: Batch, stage: int
) -> NDArray[np.float64]:
    """Seconds by cause (`planner.training.costs.CAUSES`) of one microbatch's forward and backward
    pass through all chunks of a stage, without recomputation and the data axis, [causes, N]."""
    slowest = _slowest_types(scenario, table, batch)
    counts = batch.load.counts[stage].sum(axis=0)
    seconds = _on_types(table.forward_s + table.backward_s, batch, slowest)
    if table.overlapped[batch.row].any():
        alone = 1 - paired_share(batch)[:, min(stage, batch.pipeline - 1)]
        whole = _on_types(table.forward_alone_s + table.backward_alone_s, batch, slowest)
        seconds = seconds + alone[:, None, None] * (whole - seconds)
    by_cause: NDArray[np.float64] = seconds[..., min(stage, seconds.shape[-2] - 1), :] @ counts
    return by_cause


def chunk_seconds(
    scenario: Scenario, table: CostTable, batch: Batch, layer_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[T, R, K] seconds of layers summed over every chunk, [N, p, v]."""
    slowest = _slowest_types(scenario, table, batch)
    return _per_chunk(_on_types(layer_s, batch, slowest), batch)


def stage_layer_s(
    scenario: Scenario, table: CostTable, batch: Batch, layer_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[T, R, K] seconds of layers at the speed of every stage's devices, [N, p, K]."""
    seconds = _on_types(layer_s, batch, _slowest_types(scenario, table, batch))
    shape = (seconds.shape[0], batch.pipeline, seconds.shape[-1])
    return np.asarray(np.broadcast_to(seconds, shape))


def _per_chunk(layer_s: NDArray[np.float64], batch: Batch) -> NDArray[np.float64]:
    """[N, p or 1, K] → [N, p, v]."""
    counts = batch.pass_counts
    if layer_s.shape[1] > 1:
        chunk_s: NDArray[np.float64] = np.einsum("npk,pvk->npv", layer_s, counts)
        return chunk_s
    flat = counts.reshape(-1, counts.shape[-1]).T.astype(np.float64)
    return (layer_s[:, 0] @ flat).reshape(len(batch), *counts.shape[:2])


def _slowest_types(scenario: Scenario, table: CostTable, batch: Batch) -> NDArray[np.int64] | None:
    """int64 [N, p]: the device type that holds each stage back; None when there is one type."""
    if len(scenario.device_types) == 1:
        return None
    seconds = (table.forward_s + table.backward_s).sum(axis=(0, 3))[:, batch.row]
    slowest = np.empty((len(batch), batch.pipeline), dtype=np.int64)
    for stage, types in enumerate(scenario.stage_types(batch.pipeline)):
        slowest[:, stage] = np.array(types)[seconds[list(types)].argmax(axis=0)]
    return slowest


def _all_causes_s(
    seconds: NDArray[np.float64], batch: Batch, types: NDArray[np.int64] | None
) -> NDArray[np.float64]:
    """`_on_types` of [causes, T, R, K], all causes together."""
    of_rows = all_causes_s(seconds, batch.row)
    if types is None:
        return of_rows[0, :, None]
    by_stage: NDArray[np.float64] = of_rows[types, np.arange(len(batch))[:, None]]
    return by_stage


def _on_types(
    seconds: NDArray[np.float64], batch: Batch, types: NDArray[np.int64] | None
) -> NDArray[np.float64]:
    """[..., T, R, K] → [..., N, p, K]: picks each stage's type; p is 1 when all stages are
    alike.
    """
    if types is None:
        alike: NDArray[np.float64] = seconds[..., 0, batch.row, None, :]
        return alike
    by_stage: NDArray[np.float64] = seconds[..., types, batch.row[:, None], :]
    return by_stage


def _data_traffic(
    scenario: Scenario,
    table: CostTable,
    batch: Batch,
    forward_s: NDArray[np.float64],
    backward_s: NDArray[np.float64],
) -> tuple[NDArray[np.float64] | float, NDArray[np.float64] | float]:
    """Exposed data-axis traffic of the forward and of the backward passes, [N, p, v] each."""
    if not reduced_every_microbatch(scenario.job.software, batch).any():
        return 0.0, 0.0
    traffic = _sharded_traffic(scenario, table, batch, lambda group: 1.0)
    slowing = _sharded_traffic(
        scenario,
        table,
        batch,
        lambda group: max(overlap_cost(device.links, group) for device in scenario.device_types),
    )
    causes = (
        ("parameter_gather", forward_s),
        ("parameter_gather", backward_s),
        ("gradient_reduce", backward_s),
    )
    forward_data_s, gathers_s, reductions_s = (
        _exposed(scenario, overlap, seconds, cover_s, batch, slowing_s)
        for (overlap, cover_s), seconds, slowing_s in zip(causes, traffic, slowing, strict=True)
    )
    return forward_data_s, gathers_s + reductions_s


def _sharded_traffic(
    scenario: Scenario,
    table: CostTable,
    batch: Batch,
    weight: Callable[[ProcessGroup], float],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Seconds per microbatch and stage, [N, p] each, of gathering fully sharded weights once
    forward and once backward, and of reduce-scattering gradients that no device keeps unsharded
    (ZeRO-2 and 3 reduce them for every microbatch); those of each process group times its `weight`.

    A group with a copy of the weights alone serves backward passes (Wang et al. 2023, ZeRO++,
    section 3.2), one with a copy of all that is sharded both. Its shares of the gradients are added
    up between groups for every microbatch (PyTorch `_fsdp_collectives.py`, `foreach_reduce`) or
    once a step.
    """
    dense, expert = stage_parameters(scenario, table, batch)
    job, of_states = scenario.job, state_groups(scenario.job.software, batch)
    reduce_bytes = reduced_gradient_bytes(job.software, job.precision)
    gather_bytes = gathered_weight_bytes(job.software, job.precision)

    def weighted(
        collective_s: Callable[[ProcessGroup, float], float],
    ) -> Callable[[ProcessGroup, float], float]:
        return lambda group, size: weight(group) * collective_s(group, size)

    gather_s = weighted(all_gather_s)
    forward = backward = by_degrees(
        scenario, batch, dense, expert, gather_bytes, gather_s, groups=of_states
    )
    of_weights = batch.sharding_groups
    if (of_weights != of_states).any():
        backward = by_degrees(
            scenario, batch, dense, expert, gather_bytes, gather_s, groups=of_weights
        )
    reductions = by_degrees(
        scenario, batch, dense, expert, reduce_bytes, weighted(reduce_scatter_s), groups=of_states
    )
    if not job.software.data_sharding.groups_wait:
        added = between_groups_s(scenario, batch, dense, expert, of_states, weighted(all_reduce_s))
        reductions = reductions + added
    freed = resharded(job.software, batch)[:, None]
    return (
        np.where(freed, forward, 0.0),
        np.where(freed, backward, 0.0),
        np.where(reduced_every_microbatch(job.software, batch)[:, None], reductions, 0.0),
    )


def _exposed(
    scenario: Scenario,
    overlap: str,
    stage_s: NDArray[np.float64],
    cover_s: NDArray[np.float64],
    batch: Batch,
    slowing_s: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """A stage's traffic spread over its chunks, [N, p, v]: all of it or, with the overlap on, the
    part that outlasts the pass, and at least one layer's share, which has no computation to overlap
    with. All of it, hidden, would slow the passes by `slowing_s` (None: as the device says)."""
    layers = np.maximum(batch.load.counts.sum(axis=-1), 1)
    share = layers / layers.sum(axis=-1, keepdims=True)
    chunk_s: NDArray[np.float64] = stage_s[..., None] * share
    if overlap not in scenario.job.software.overlap:
        return chunk_s
    cost = None
    if slowing_s is not None:
        cost = np.divide(slowing_s, stage_s, out=np.zeros(stage_s.shape), where=stage_s > 0)
        cost = cost[..., None]
    return exposed_s(scenario, chunk_s, cover_s, chunk_s / layers, cost)
