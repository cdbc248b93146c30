"""The optimizer step: what every stage and its host update once per step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import OPTIMIZER, OPTIMIZER_AND_GRADIENTS
from planner.training.memory.parameters import end_parameters, stage_parameters
from planner.training.memory.sharding import (
    sharers,
    state_groups,
)
from planner.training.memory.states import kept_master_bytes
from planner.training.step.offload import host_update_s
from planner.training.step.orthogonal import orthogonal_s
from planner.workload.formats import (
    gradient_bytes,
    moment_bytes,
    weight_bytes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


def optimizer_s(scenario: Scenario, table: CostTable, batch: Batch) -> NDArray[np.float64]:
    """Seconds of the optimizer step, [N]: its states streamed through memory on the fullest stage.

    Adam reads the gradient, the weight and both moments and writes the last three and the 16-bit
    weight; clipping reads the gradient once more (Megatron-LM `clip_grads.py`), and the gradient
    buffer is cleared for the next step.
    """
    updated = stage_optimizer_s(scenario, table, batch)
    seconds: NDArray[np.float64] = updated.max(axis=-1) + scenario.job.software.step_overhead.value
    return seconds


def stage_optimizer_s(scenario: Scenario, table: CostTable, batch: Batch) -> NDArray[np.float64]:
    """[N, p] seconds, without the step's overhead: what each stage streams through memory, and what
    its host updates after that."""
    dense, expert = stage_parameters(scenario, table, batch)
    streamed = _streamed_s(scenario, batch, dense, expert)
    if scenario.job.software.optimizers.of(scenario.job.optimizer).iterations is not None:
        layers = dense - np.minimum(dense, end_parameters(scenario, table, batch))
        streamed = streamed + orthogonal_s(scenario, batch, layers, expert)
    if not batch.host_share.any():
        return streamed
    here = (1 - batch.host_share)[:, None]
    return np.asarray(here * streamed + host_update_s(scenario, batch, dense, expert))


def exposed_update_s(scenario: Scenario, table: CostTable, batch: Batch) -> NDArray[np.float64]:
    """[N]: how much of `optimizer_s` is on the host of the stage that it waits for."""
    if not batch.host_share.any():
        return np.zeros(len(batch))
    dense, expert = stage_parameters(scenario, table, batch)
    slowest = stage_optimizer_s(scenario, table, batch).argmax(axis=-1)
    on_host = host_update_s(scenario, batch, dense, expert)
    return np.asarray(on_host[np.arange(len(batch)), slowest])


def _streamed_s(
    scenario: Scenario, batch: Batch, dense: NDArray[np.int64], expert: NDArray[np.int64]
) -> NDArray[np.float64]:
    """What a stage streams through memory where all of its optimizer is on the device, [N, p]: with
    the types of the states that stay there."""
    software, job = scenario.job.software, scenario.job
    main_bytes = gradient_bytes(software, job.precision)
    kept_bytes = kept_master_bytes(software, job.precision, batch)
    master_bytes = np.where(kept_bytes > 0, kept_bytes, weight_bytes(job.precision))[:, None]
    state_bytes = master_bytes + moment_bytes(software, job.optimizer)
    sharding = batch.data_sharding[:, None]
    groups = state_groups(software, batch)[:, None]
    dense_shard = dense / np.where(
        sharding >= OPTIMIZER, sharers(batch.dense_replicas[:, None], groups), 1
    )
    expert_shard = expert / np.where(
        sharding >= OPTIMIZER, sharers(batch.expert_replicas[:, None], groups), 1
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
