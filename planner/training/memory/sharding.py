"""How gradients and weights that are sharded over the data axis live between microbatches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import FULLY, OPTIMIZER_AND_GRADIENTS

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


def resharded(software: SoftwareProfile, batch: Batch) -> NDArray[np.bool_]:
    """[N]: weights are gathered for every pass and freed after it."""
    freed: NDArray[np.bool_] = (batch.data_sharding == FULLY) & ~kept_whole(software, batch)
    return freed


def reduced_every_microbatch(software: SoftwareProfile, batch: Batch) -> NDArray[np.bool_]:
    """[N]: no device keeps whole gradients, so that every microbatch reduces its own (Rajbhandari
    et al. 2020, ZeRO stages 2 and 3)."""
    sharded = batch.data_sharding >= OPTIMIZER_AND_GRADIENTS
    return sharded & ~kept_whole(software, batch)
