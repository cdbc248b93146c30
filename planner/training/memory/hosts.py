"""Bytes that a job keeps in the memory of its hosts.

What is offloaded is updated there in fp32: master weights, moments and the gradients that the
update reads (Rajbhandari et al. 2021, ZeRO-Infinity, section 3; Megatron-LM
`optimizer/cpu_offloading/hybrid_optimizer.py`; PyTorch FSDP2 `CPUOffloadPolicy`). Sharded weights
that the passes read are in their own format beside them, unless the fp32 weights are the only ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import FULLY
from planner.training.memory.parameters import embedding_parameters
from planner.training.memory.sharding import optimizer_shares
from planner.workload.formats import STATE_BYTES, moments, sharded_weight_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.scenario import Scenario


def node_bytes(scenario: Scenario, each: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes, [N], in the memory of the fullest node, where `each` device of every stage keeps so
    many there, [N, p]. A node has neighbouring stages where it has several."""
    devices, pipeline = scenario.host.devices, each.shape[1]
    of_stage = scenario.job.devices // pipeline
    if of_stage >= devices or devices % of_stage:
        return np.asarray(each.max(axis=-1) * devices)
    stages = min(devices // of_stage, pipeline)
    summed = np.add.reduceat(each, range(0, pipeline, stages), axis=-1)
    return np.asarray(summed.max(axis=-1) * of_stage)


def device_bytes(
    scenario: Scenario, batch: Batch, dense: NDArray[np.int64], expert: NDArray[np.int64]
) -> NDArray[np.int64]:
    """What one device of every stage, with so many parameters, [N, p], keeps of states and weights
    on its host, bytes [N, p]."""
    software, job = scenario.job.software, scenario.job
    shares = optimizer_shares(software, batch, dense, expert)
    state = STATE_BYTES["fp32"] * (2 + moments(software, job.optimizer))
    on_drives = software.offload.to == "nvme"
    held = batch.host_share[:, None] * shares * (0 if on_drives else state)
    read_bytes, master_bytes = sharded_weight_bytes(software, job.precision)
    there = (batch.data_sharding == FULLY) & batch.host_weights
    beside = np.where(master_bytes > 0, 1.0, 1 - batch.host_share)
    held = held + (there * beside)[:, None] * shares * read_bytes
    return np.asarray(np.ceil(held).astype(np.int64))


def staged_bytes(
    scenario: Scenario, batch: Batch, dense: NDArray[np.int64], expert: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Buffers on the devices, bytes [N, p], for the fp32 states and the gradient of one sub-group
    of an offloaded optimizer, where some are updated there (DataStates/DeepSpeed, branch
    deep-optimizer-states, `stage3.py`: `prefetch_optimizer_gpu_fp32_params` and the like)."""
    software, job = scenario.job.software, scenario.job
    if software.offload.stride is None:
        return np.zeros_like(dense)
    shares = optimizer_shares(software, batch, dense, expert)
    tensor = embedding_parameters(scenario, batch) / batch.dense_replicas
    largest = np.maximum(tensor, software.offload.sub_group.value)[:, None]
    state = STATE_BYTES["fp32"] * (2 + moments(software, job.optimizer))
    held = (batch.host_share > 0)[:, None] * np.minimum(shares, largest) * state
    return np.asarray(np.ceil(held).astype(np.int64))
