"""How gradients and weights that are sharded over the data axis live between microbatches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import FULLY, OPTIMIZER, OPTIMIZER_AND_GRADIENTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.specs.software import SoftwareProfile
    from planner.training.batch import Batch


def kept_whole(software: SoftwareProfile, batch: Batch) -> NDArray[np.bool_]:
    """[N]: weights stay gathered, and gradients whole in the type of the main gradients, from the
    first microbatch to the last: what PyTorch does with fully sharded stages of a pipeline
    (`PipelineStage.backward_maybe_with_nosync`; torchtitan `fsdp_reshard_after_forward: default`).
    """
    sharded = batch.data_sharding >= OPTIMIZER_AND_GRADIENTS
    return sharded & (batch.pipeline > 1) & software.pipeline_keeps_whole


def state_groups(software: SoftwareProfile, batch: Batch) -> NDArray[np.int64]:
    """[N]: into how many groups the replicas that share gradients and optimizer states fall. Where
    groups hold a copy of the weights alone, all replicas share the rest (DeepSpeed
    `runtime/zero/partition_parameters.py`, `ds_secondary_tensor`)."""
    if software.data_sharding.groups_hold == "states":
        return batch.sharding_groups
    return np.asarray(np.where(batch.data_sharding == FULLY, 1, batch.sharding_groups))


def sharers(replicas: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ranks of one group, where `replicas` ranks form `groups` equal groups."""
    return np.asarray(np.maximum(replicas // groups, 1))


def optimizer_shares(
    software: SoftwareProfile,
    batch: Batch,
    dense: NDArray[np.int64],
    expert: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Dense and expert parameters of a device, [N, p], whose optimizer states it holds."""
    groups = state_groups(software, batch)
    sharded = batch.data_sharding >= OPTIMIZER
    return np.asarray(
        dense / np.where(sharded, sharers(batch.dense_replicas, groups), 1)[:, None]
        + expert / np.where(sharded, sharers(batch.expert_replicas, groups), 1)[:, None]
    )


def resharded(software: SoftwareProfile, batch: Batch) -> NDArray[np.bool_]:
    """[N]: weights are gathered for every pass and freed after it."""
    freed: NDArray[np.bool_] = (batch.data_sharding == FULLY) & ~kept_whole(software, batch)
    return freed


def reduced_every_microbatch(software: SoftwareProfile, batch: Batch) -> NDArray[np.bool_]:
    """[N]: no device keeps whole gradients, so that every microbatch reduces its own (Rajbhandari
    et al. 2020, ZeRO stages 2 and 3)."""
    sharded = batch.data_sharding >= OPTIMIZER_AND_GRADIENTS
    return sharded & ~kept_whole(software, batch)
