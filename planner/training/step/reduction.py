"""What happens once per step: gradient reduction, parameter gather, optimizer, stragglers."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import distinct, distinct_rows
from planner.hardware.collectives import all_gather_s, all_reduce_s, reduce_scatter_s
from planner.training.batch import OPTIMIZER, OPTIMIZER_AND_GRADIENTS, UNSHARDED
from planner.training.layer.overlap import exposed_s
from planner.training.memory.sharding import kept_whole
from planner.training.memory.stage import optimizer_shards, stage_parameters
from planner.workload.formats import (
    bucket_bytes,
    gathered_weight_bytes,
    gradient_bytes,
    master_weight_bytes,
    moment_bytes,
    reduced_gradient_bytes,
    weight_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from planner.hardware.links import ProcessGroup
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


def by_degrees(
    scenario: Scenario,
    batch: Batch,
    dense: NDArray[np.int64],
    expert: NDArray[np.int64],
    element_bytes: float,
    collective_s: Callable[[ProcessGroup, float], float],
    *,
    largest: int | None = None,
) -> NDArray[np.float64]:
    """Seconds of a collective over each stage's parameters, [N, p]: the dense ones among the data ·
    context ranks of the stage, then the experts' among theirs, in groups of at most `largest`
    ranks. Each set of degrees is priced once."""
    first, which = distinct_rows(
        (batch.tensor, batch.context, batch.data, batch.expert, batch.expert_tensor)
    )
    seconds = np.empty((len(first), dense.shape[1]))
    for unique, plan in enumerate(first.tolist()):
        dense_size, expert_size = int(batch.dense_replicas[plan]), int(batch.expert_replicas[plan])
        expert_stride = int(batch.expert[plan] * batch.expert_tensor[plan])
        dense_groups = scenario.topology.stage_groups(
            min(dense_size, largest or dense_size), int(batch.tensor[plan]), batch.pipeline
        )
        expert_groups = scenario.topology.stage_groups(
            min(expert_size, largest or expert_size), expert_stride, batch.pipeline
        )
        known: dict[tuple[int, ...], float] = {}
        for stage, (dense_group, dense_count, expert_group, expert_count) in enumerate(
            zip(
                dense_groups,
                dense[plan].tolist(),
                expert_groups,
                expert[plan].tolist(),
                strict=True,
            )
        ):
            key = id(dense_group), dense_count, id(expert_group), expert_count
            if key not in known:
                known[key] = collective_s(dense_group, dense_count * element_bytes) + (
                    collective_s(expert_group, expert_count * element_bytes)
                    if expert_count
                    else 0.0
                )
            seconds[unique, stage] = known[key]
    return seconds[which]


def gradient_reduction_s(
    scenario: Scenario, table: CostTable, batch: Batch, last_backward_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Exposed seconds of each stage's gradient reduction after its last backward pass, [N, p].

    All-reduce without sharding or with an optimizer sharded over part of the replicas,
    reduce-scatter with one sharded over all (Megatron-LM `distrib_optimizer.md`); gradients that
    are already sharded were reduced for every microbatch, unless they stay unsharded until the last
    one. With the overlap on, it runs bucket by bucket behind the last microbatch's backward pass,
    all but the last bucket.
    """
    software = scenario.job.software
    reduce_bytes = reduced_gradient_bytes(software, scenario.job.precision)
    dense, expert = stage_parameters(scenario, table, batch)
    sharding = batch.data_sharding[:, None]
    seconds = np.zeros(dense.shape)
    whole = sharding == UNSHARDED
    if software.optimizer_shard_size is not None:
        whole = whole | (sharding == OPTIMIZER)
    if whole.any():
        reduced = by_degrees(scenario, batch, dense, expert, reduce_bytes, all_reduce_s)
        seconds = np.where(whole, reduced, seconds)
    divided = ((sharding == OPTIMIZER) & ~whole) | kept_whole(software, batch)[:, None]
    if divided.any():
        scattered = by_degrees(scenario, batch, dense, expert, reduce_bytes, reduce_scatter_s)
        seconds = np.where(divided, scattered, seconds)
    if "gradient_reduce" not in software.overlap:
        return seconds
    bucket = bucket_bytes(software, scenario.job.precision)
    buckets = np.maximum((dense + expert) * reduce_bytes / bucket, 1.0)
    return exposed_s(scenario, seconds, last_backward_s, seconds / buckets)


def copies_reduction_s(
    scenario: Scenario, table: CostTable, batch: Batch
) -> NDArray[np.float64] | float:
    """[N, p]: all-reduce of gradients between stages s and p − 1 − s, which hold the same layers
    where the pipeline holds the model twice; every pair is priced at the largest distance."""
    if batch.kind.parameter_copies == 1 or batch.pipeline == 1:
        return 0.0
    reduce_bytes = reduced_gradient_bytes(scenario.job.software, scenario.job.precision)
    dense, expert = stage_parameters(scenario, table, batch)
    stage_devices = scenario.job.devices // batch.pipeline
    pair = scenario.topology.group(2, (batch.pipeline - 1) * stage_devices)
    sizes, inverse = np.unique(dense + expert, return_inverse=True)
    by_size = np.array([all_reduce_s(pair, size * reduce_bytes) for size in sizes.tolist()])
    seconds: NDArray[np.float64] = by_size[inverse.reshape(dense.shape)]
    return seconds


def tied_reduction_s(scenario: Scenario, batch: Batch) -> NDArray[np.float64]:
    """All-reduce of the tied embedding's gradient between first and last stage, [N], in the type in
    which the gradient is kept (Megatron-LM `finalize_model_grads._allreduce_word_embedding_grads`;
    DeepSpeed `PipelineModule.allreduce_tied_weight_gradients`); 0 where both ends of the model are
    on one stage. No other stage uses the network at that time."""
    model, topology = scenario.model, scenario.topology
    seconds = np.zeros(len(batch))
    if not model.tie_embeddings or batch.first_holds_head:
        return seconds
    main_bytes = gradient_bytes(scenario.job.software, scenario.job.precision)
    stage_devices = scenario.job.devices // batch.pipeline
    group = topology.pair((batch.pipeline - 1) * stage_devices, active=stage_devices)
    for tensor in distinct(batch.tensor).tolist():
        size = model.padded_vocab_size(tensor) // tensor * model.hidden_size * main_bytes
        seconds[batch.tensor == tensor] = all_reduce_s(group, size)
    return seconds


def stage_gathers_s(
    scenario: Scenario, table: CostTable, batch: Batch, first_forward_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Exposed seconds in which every stage gathers updated weights from the sharded optimizer,
    [N, p]; behind the next step's first forward pass with the overlap on, all but one bucket. A
    step waits for the slowest stage."""
    software = scenario.job.software
    sharded = (
        (batch.data_sharding == OPTIMIZER)
        | (batch.data_sharding == OPTIMIZER_AND_GRADIENTS)
        | kept_whole(software, batch)
    )
    if not sharded.any():
        return np.zeros((len(batch), batch.pipeline))
    dense, expert = stage_parameters(scenario, table, batch)
    element_bytes = gathered_weight_bytes(software, scenario.job.precision)
    seconds = by_degrees(
        scenario,
        batch,
        dense,
        expert,
        element_bytes,
        all_gather_s,
        largest=software.optimizer_shard_size,
    )
    if software.owner_broadcast is not None:
        owners = optimizer_shards(scenario, batch.dense_replicas)[:, None]
        seconds += np.where(owners > 1, owners * software.owner_broadcast.value, 0.0)
    if "parameter_gather" in software.overlap:
        buckets = np.maximum((dense + expert) * element_bytes / software.bucket_bytes.value, 1.0)
        seconds = exposed_s(scenario, seconds, first_forward_s, seconds / buckets)
    return np.where(sharded[:, None], seconds, 0.0)


def optimizer_s(scenario: Scenario, table: CostTable, batch: Batch) -> NDArray[np.float64]:
    """Seconds of the optimizer step, [N]: its states streamed through memory on the fullest stage.

    Adam reads the gradient, the weight and both moments and writes the last three and the 16-bit
    weight; clipping reads the gradient once more (Megatron-LM `clip_grads.py`), and the gradient
    buffer is cleared for the next step.
    """
    streamed = stage_optimizer_s(scenario, table, batch)
    seconds: NDArray[np.float64] = streamed.max(axis=-1) + scenario.job.software.step_overhead.value
    return seconds


def stage_optimizer_s(scenario: Scenario, table: CostTable, batch: Batch) -> NDArray[np.float64]:
    """What each stage streams through memory, [N, p] seconds, without the step's overhead."""
    software, job = scenario.job.software, scenario.job
    dense, expert = stage_parameters(scenario, table, batch)
    main_bytes = gradient_bytes(software, job.precision)
    master_bytes = master_weight_bytes(software, job.precision) or weight_bytes(job.precision)
    state_bytes = master_bytes + moment_bytes(software, job.optimizer)
    sharding = batch.data_sharding[:, None]
    dense_shard = dense / np.where(
        sharding >= OPTIMIZER, optimizer_shards(scenario, batch.dense_replicas[:, None]), 1
    )
    expert_shard = expert / np.where(
        sharding >= OPTIMIZER, optimizer_shards(scenario, batch.expert_replicas[:, None]), 1
    )
    gradient_shards = np.where(
        sharding >= OPTIMIZER_AND_GRADIENTS, dense_shard + expert_shard, dense + expert
    )
    moved = (dense_shard + expert_shard) * (
        2 * state_bytes + 2 * main_bytes + weight_bytes(job.precision)
    ) + gradient_shards * main_bytes
    slowest = min(scenario.device_types, key=lambda device: device.streaming_bytes_per_s)
    seconds: NDArray[np.float64] = moved / slowest.streaming_bytes_per_s
    return seconds


@lru_cache(maxsize=4096)
def expected_slowest(devices: int) -> float:
    """Expected maximum of `devices` standard normal variables, in standard deviations (Blom 1958,
    "Statistical Estimates and Transformed Beta-Variables": Φ⁻¹((n − 3/8) / (n + 1/4)))."""
    return NormalDist().inv_cdf((devices - 0.375) / (devices + 0.25))
