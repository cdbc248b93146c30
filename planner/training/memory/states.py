"""Weights, gradients and optimizer states on every stage of every plan of a batch.

Bytes per parameter follow Megatron-LM (`distrib_optimizer.md`; `theoretical_memory_usage.py`: 18
without a sharded optimizer and fp32 gradients, 6 + 12/d with) and Rajbhandari et al. 2020 (ZeRO,
section 3) for the shardings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import FULLY, OPTIMIZER, OPTIMIZER_AND_GRADIENTS
from planner.training.memory.sharding import (
    kept_whole,
    optimizer_shares,
    sharers,
    state_groups,
)
from planner.workload.formats import (
    end_moment_bytes,
    gradient_bytes,
    master_weight_bytes,
    moment_bytes,
    sharded_weight_bytes,
    stored_weight_bytes,
    weight_bytes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.specs.software import SoftwareProfile
    from planner.training.batch import Batch
    from planner.training.scenario import Scenario


def state_bytes(
    scenario: Scenario,
    batch: Batch,
    dense: NDArray[np.int64],
    expert: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Bytes of weights, gradients and optimizer states, for parameter counts of a device, int64 [N,
    …] like `dense` and `expert`; `ends` are those of the dense that no format quantises."""
    weights, gradients, optimizer, _ = state_components(scenario, batch, dense, expert, ends)
    return np.asarray(weights + gradients + optimizer)


def state_components(
    scenario: Scenario,
    batch: Batch,
    dense: NDArray[np.int64],
    expert: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> tuple[NDArray[np.int64], ...]:
    """Weights, gradients, optimizer states, and the optimizer step's temporaries, int64 [N, p].

    Fully sharded, the fp32 weights are the only ones (PyTorch FSDP2 mixed precision), so the
    optimizer holds no second copy of them; or shards of the 16-bit weights stay beside them
    (DeepSpeed `runtime/zero/stage3.py`, `fp16_partitioned_groups_flat` and
    `fp32_partitioned_groups_flat`). Where a part of the replicas has a copy of the weights alone,
    that copy is in the format of the weights.
    """
    software, job = scenario.job.software, scenario.job
    transposes = any(device.fp8_transposes for device in scenario.device_types)
    stored_bytes = stored_weight_bytes(software, job.precision, transposes=transposes)
    main_bytes = gradient_bytes(software, job.precision)
    local_bytes = 2 if software.keeps_local_gradients and main_bytes > 2 else 0
    master_bytes = master_weight_bytes(software, job.precision)
    state_bytes = moment_bytes(software, job.optimizer)
    more_bytes = end_moment_bytes(software, job.optimizer) - state_bytes
    weight_shard_bytes, master_shard_bytes = sharded_weight_bytes(software, job.precision)
    # Kernels that read master weights in parts read gradients as they are, too (Megatron-LM
    # `distrib_optimizer.py`, `use_precision_aware_optimizer`: `decoupled_grad`).
    apart = software.master_weight_dtype != "fp32"
    update_bytes = 4 if main_bytes < 4 and master_bytes and not apart else 0

    sharding = batch.data_sharding[:, None]
    fully = sharding == FULLY
    whole = kept_whole(software, batch)[:, None]
    groups = batch.sharding_groups[:, None]
    of_states = state_groups(software, batch)[:, None]
    copied = fully & (of_states < groups)
    here = (1 - batch.host_share)[:, None]
    weights_here = ~batch.host_weights[:, None]
    leave = software.offload.gradients & (sharding >= OPTIMIZER_AND_GRADIENTS) & ~whole
    waiting = batch.host_share[:, None] / (software.offload.stride or np.inf)
    gradients_here = np.where(leave, here + waiting, 1)
    kept_bytes = kept_master_bytes(software, job.precision, batch)[:, None]
    total = np.zeros((4, *dense.shape))
    for parameters, replicas in (
        (dense, batch.dense_replicas[:, None]),
        (expert, batch.expert_replicas[:, None]),
    ):
        if not parameters.any():
            continue
        share = sharers(replicas, of_states)
        optimizer_shard = parameters / np.where(sharding >= OPTIMIZER, share, 1)
        gradient_shard = parameters / np.where(
            (sharding >= OPTIMIZER_AND_GRADIENTS) & ~whole, share, 1
        )
        total[0] += np.where(
            fully,
            optimizer_shard * (weight_shard_bytes * weights_here + master_shard_bytes * here)
            + np.where(whole, parameters * stored_bytes, 0),
            parameters * stored_bytes,
        )
        if copied.any():
            copy = parameters / sharers(replicas, groups) * weight_bytes(job.precision)
            total[0] += np.where(copied, copy, 0)
        total[1] += gradient_shard * main_bytes * gradients_here + parameters * local_bytes
        total[2] += optimizer_shard * (np.where(fully, 0, kept_bytes) + state_bytes) * here
        if more_bytes and parameters is dense:
            of_ends = optimizer_shard * np.minimum(ends, dense) / np.maximum(dense, 1)
            total[2] += of_ends * more_bytes * here
        total[3] += optimizer_shard * update_bytes * here
    unsharded = whole | ~fully
    total[0] += np.where(
        unsharded, np.minimum(ends, dense) * (weight_bytes(job.precision) - stored_bytes), 0
    )
    return tuple(np.ceil(total).astype(np.int64))


def kept_master_bytes(software: SoftwareProfile, precision: str, batch: Batch) -> NDArray[np.int64]:
    """[N]: bytes of a master weight that stays on the device. Where a part of the optimizer is
    offloaded, the rest may keep remainders (Megatron-LM `arguments.py`: --optimizer-cpu-offload
    needs --use-precision-aware-optimizer)."""
    usual = np.full(len(batch), master_weight_bytes(software, precision))
    if not (batch.offloads and software.offload.remainders):
        return usual
    short = software.model_copy(update={"master_weight_dtype": "remainders"})
    return np.where(
        batch.host_share > 0, np.minimum(usual, master_weight_bytes(short, precision)), usual
    )


def resume_bytes(
    scenario: Scenario, batch: Batch, dense: NDArray[np.int64], expert: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """What lives beside the states while a checkpoint is loaded, bytes [N, p]; None where that is
    nothing (Megatron-LM `distrib_optimizer.py`, `_init_optimizer_states_with_dummy_values`:
    gradients of 0 like the master weights; DeepSpeed `stage3.py`, `_rigid_load_state_dict`, and
    `stage_1_and_2.py`: PyTorch's `Optimizer.load_state_dict`, which makes new moments first)."""
    software, job = scenario.job.software, scenario.job
    resume = software.resume
    gradient = master_weight_bytes(software, job.precision) or weight_bytes(job.precision)
    moment = moment_bytes(software, job.optimizer)
    each = gradient * resume.zero_gradients + moment * resume.copies_moments
    if not (resume.counts and each):
        return None
    held = (1 - batch.host_share)[:, None] * optimizer_shares(software, batch, dense, expert)
    return np.asarray(np.ceil(held * each).astype(np.int64))
