"""Peak memory of every stage of every plan of a batch, by component.

Two peaks are compared. The forward/backward peak has the most microbatches in flight: it comes
while the loss is computed, in the backward pass of a layer, or in that of the embedding
(`planner.training.memory.activations`). The optimizer peak has no activations but the optimizer's
temporaries. Weights, gradients and optimizer states (`planner.training.memory.states`) are there
all the time.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import FULLY
from planner.training.memory.activations import activation_peak
from planner.training.memory.hosts import device_bytes, node_bytes, staged_bytes
from planner.training.memory.parameters import end_parameters, stage_parameters
from planner.training.memory.peaks import StagePeaks
from planner.training.memory.standing import (
    among_tensor_ranks,
    largest_workspaces,
    outside_allocator,
    placeholders,
)
from planner.training.memory.states import resume_bytes, state_components
from planner.training.memory.units import gathered_units
from planner.workload.formats import bucket_bytes, reduced_gradient_bytes, weight_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from planner.specs.software import SoftwareProfile
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


def stage_peaks(
    scenario: Scenario, table: CostTable, batch: Batch, *, dense_gradients: bool = True
) -> StagePeaks:
    """Memory of every stage of every plan of the batch. `dense_gradients=False` leaves out the
    embedding's dense gradient."""
    dense, expert = stage_parameters(scenario, table, batch)
    ends = end_parameters(scenario, table, batch)
    weights, gradients, optimizer, update = state_components(scenario, batch, dense, expert, ends)
    units = gathered_units(scenario, table, batch)
    peak = activation_peak(scenario, table, batch, units, dense_gradients=dense_gradients)
    gone = peak.offloaded(scenario, table, batch) if batch.offloads else np.int64(0)
    of_stages = scenario.stage_types(batch.pipeline)
    types = [of_stages[stage] for stage in batch.stages.tolist()]
    standing = placeholders(table, batch) + _of_each(types, partial(largest_workspaces, scenario))
    standing = standing + staged_bytes(scenario, batch, dense, expert)
    messages = (
        _message_buffers(scenario.job.software, batch) * table.residual_bytes[batch.row, None]
    )
    shape = dense.shape
    return StagePeaks(
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        activations=peak.activations - gone,
        logits=peak.logits,
        buffers=peak.working
        + messages
        + units.always
        + standing
        + bucket_copies_bytes(scenario, dense + expert),
        update_buffers=update + standing,
        fixed=np.broadcast_to(
            _of_each(types, partial(outside_allocator, scenario))
            + among_tensor_ranks(scenario, batch),
            shape,
        ),
        slack_fraction=scenario.job.software.slack,
        pooled=units.pooled,
        capacity=np.broadcast_to(_of_each(types, partial(_capacity, scenario)), shape),
        headroom=scenario.job.headroom,
        start=_whole_at_start(scenario, batch, dense + expert),
        resume=resume_bytes(scenario, batch, dense, expert),
        node_bytes=node_bytes(scenario, device_bytes(scenario, batch, dense, expert) + gone)
        if batch.offloads and batch.loads_of is None
        else None,
        node_capacity=scenario.host.node_bytes,
    )


def _of_each(
    types: Sequence[tuple[int, ...]], figure: Callable[[tuple[int, ...]], int]
) -> NDArray[np.int64]:
    """[p]: a figure of the device types of each stage."""
    known = {of_stage: figure(of_stage) for of_stage in dict.fromkeys(types)}
    return np.array([known[of_stage] for of_stage in types], dtype=np.int64)


def _capacity(scenario: Scenario, types: Sequence[int]) -> int:
    """Bytes of the smallest of the device `types`."""
    return min(scenario.device_types[index].memory_bytes for index in types)


def _whole_at_start(
    scenario: Scenario, batch: Batch, parameters: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Weights that will be fully sharded, in the format of the passes, when every device makes all
    of its stage (Megatron-LM `training.py`, `get_model`, without `--init-model-with-meta-device`;
    DeepSpeed `engine.py`, `_configure_distributed_model`, without `zero.Init`)."""
    job = scenario.job
    if not job.software.full_sharding.starts_whole:
        return None
    whole_bytes = parameters * weight_bytes(job.precision)
    return np.where(batch.data_sharding[:, None] == FULLY, whole_bytes, 0)


def _message_buffers(software: SoftwareProfile, batch: Batch) -> NDArray[np.int64]:
    """Residual activations that a stage holds to send and receive, int64 [1, p].

    One each way. With a shared vocabulary also what its collectives work on
    (`SharedVocabulary.residual_buffers`), and on the first stage the reduced embedding of all
    microbatches in flight (sail-sg/VocabularyParallelism `vocab_input_store.py`).
    """
    stages = batch.stages
    buffers = np.full((1, len(stages)), 2 if batch.pipeline > 1 else 0)
    if batch.kind.shares_vocabulary:
        buffers += software.shared_vocabulary.residual_buffers.value
        buffers[0, stages == 0] += batch.pipeline
    return buffers


def bucket_copies_bytes(scenario: Scenario, parameters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Buffers that gradients are copied through on their way, int64 [N, p]."""
    software = scenario.job.software
    largest = parameters * reduced_gradient_bytes(software, scenario.job.precision)
    bucket = np.minimum(int(bucket_bytes(software, scenario.job.precision)), largest)
    return bucket * software.bucket_buffers
