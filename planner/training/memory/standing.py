"""What a process holds from its first step to its last in addition to the tensors of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.training.memory.in_flight import largest_by_set

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


def among_tensor_ranks(scenario: Scenario, batch: Batch) -> NDArray[np.int64]:
    """Bytes, int64 [N, 1], outside the allocator for communicators that only tensor ranks have."""
    buffers = scenario.job.software.tensor_communication_buffers
    size: NDArray[np.int64] = (batch.tensor > 1) * (buffers.value if buffers else 0)
    return size[:, None]


def outside_allocator(scenario: Scenario, types: Sequence[int]) -> int:
    """Bytes outside the framework's allocator on the fullest of the device `types`, whatever the
    degrees: driver context with its kernels, buffers of the collective library."""
    software = scenario.job.software
    devices = [scenario.device_types[i] for i in types]
    context = max(
        device.context_bytes if software.lazy_loading else device.eager_context_bytes
        for device in devices
    )
    communicating = scenario.job.devices > 1
    return int(context + (software.communication_buffers.value if communicating else 0))


def largest_workspaces(scenario: Scenario, types: Sequence[int]) -> int:
    """Bytes of the workspaces of matrix products, on the one of the device `types` with the largest
    (pytorch `CublasHandlePool.cpp`, one per handle; TransformerEngine `cpp_extensions/gemm.py`,
    `get_cublas_workspace`, one for all layers and some for grouped products)."""
    software = scenario.job.software
    workspaces = software.workspaces
    grouped = scenario.model.moe is not None and software.expert.grouped_matmul
    streams = workspaces.layers + (workspaces.grouped if grouped else 0)
    return max(
        workspaces.handles * device.workspace_bytes + streams * device.layer_workspace_bytes
        for device in (scenario.device_types[i] for i in types)
    )


def placeholders(table: CostTable, batch: Batch) -> NDArray[np.int64]:
    """Bytes, int64 [N, p], of the tensors that stand for gradients of weights, one for every shape
    of weight on a stage."""
    held = batch.load.held
    of_kinds = table.placeholder_bytes[:, batch.row].transpose(2, 0, 1)
    by_stage: NDArray[np.int64] = largest_by_set(of_kinds, held).sum(axis=0)[:, held.which]
    return by_stage
