"""Peak memory of every stage of every plan of a batch, by component.

Two peaks are compared. The forward/backward peak has the most microbatches in flight: it comes
while the loss is computed, in the backward pass of a layer, or in that of the embedding
(`planner.training.memory.activations`). The optimizer peak has no activations but the optimizer's
temporaries. Weights, gradients and optimizer states are there all the time.

Bytes per parameter follow Megatron-LM (`distrib_optimizer.md`; `theoretical_memory_usage.py`: 18
without a sharded optimizer and fp32 gradients, 6 + 12/d with) and Rajbhandari et al. 2020 (ZeRO,
section 3) for the shardings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.plan import PEAK_PHASES, HostUse, MemoryComponents, StageMemory
from planner.training.batch import FULLY, OPTIMIZER, OPTIMIZER_AND_GRADIENTS, OUTER_KINDS
from planner.training.memory.activations import activation_peak
from planner.training.memory.embedding import embedding_parameters
from planner.training.memory.hosts import device_bytes, node_bytes
from planner.training.memory.sharding import kept_whole, sharers, state_groups
from planner.training.memory.standing import (
    among_tensor_ranks,
    largest_workspaces,
    outside_allocator,
    placeholders,
)
from planner.training.memory.units import gathered_units
from planner.workload.formats import (
    bucket_bytes,
    end_moment_bytes,
    gradient_bytes,
    master_weight_bytes,
    moment_bytes,
    reduced_gradient_bytes,
    sharded_weight_bytes,
    stored_weight_bytes,
    weight_bytes,
)
from planner.workload.shard import Shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.specs.software import SoftwareProfile
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario

BACKWARD, UPDATE, START = PEAK_PHASES


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StagePeaks:
    """int64 [N, p] each. `step` is what lives in the forward/backward peak, `update` in the
    optimizer's, in addition to the three that are always there. `pooled` is reserved for buffers of
    one kind and counts as slack."""

    weights: NDArray[np.int64]
    gradients: NDArray[np.int64]
    optimizer: NDArray[np.int64]
    activations: NDArray[np.int64]
    logits: NDArray[np.int64]
    buffers: NDArray[np.int64]
    update_buffers: NDArray[np.int64]
    fixed: NDArray[np.int64]
    slack_fraction: float
    pooled: NDArray[np.int64]
    capacity: NDArray[np.int64]
    headroom: float
    start: NDArray[np.int64] | None = None
    """[N, p]: weights that are whole before they are sharded; None where none are."""
    node_bytes: NDArray[np.int64] | None = None
    """[N]: what the fullest host holds; None where nothing is offloaded, or stages are looked at
    one by one."""
    node_capacity: int | None = None

    @property
    def step_allocated(self) -> NDArray[np.int64]:
        return self._static + self.activations + self.logits + self.buffers

    @property
    def update_allocated(self) -> NDArray[np.int64]:
        return self._static + self.update_buffers

    @property
    def _static(self) -> NDArray[np.int64]:
        return self.weights + self.gradients + self.optimizer

    @property
    def device_peak(self) -> NDArray[np.int64]:
        """Allocated, plus allocator slack, plus what lives outside the allocator."""
        allocated = np.maximum(self.step_allocated, self.update_allocated)
        peak: NDArray[np.int64] = allocated + self._slack(allocated) + self.pooled + self.fixed
        if self.start is None:
            return peak
        start: NDArray[np.int64] = self.start + self._slack(self.start) + self.fixed
        return np.asarray(np.maximum(peak, start))

    @property
    def spare(self) -> NDArray[np.int64]:
        """Bytes left below capacity minus headroom; negative where a stage does not fit."""
        return self.capacity - self._headroom_bytes - self.device_peak

    @property
    def fits(self) -> NDArray[np.bool_]:
        """[N]: every stage fits, and so does what the hosts hold."""
        fits: NDArray[np.bool_] = np.all(self.spare >= 0, axis=-1)
        if self.node_bytes is not None and self.node_capacity is not None:
            fits = fits & (self.node_bytes <= self.node_capacity)
        return fits

    def host(self, plan: int) -> HostUse | None:
        """What the fullest host holds of one plan of the batch."""
        if self.node_bytes is None:
            return None
        return HostUse(peak_bytes=int(self.node_bytes[plan]), capacity_bytes=self.node_capacity)

    @property
    def _headroom_bytes(self) -> NDArray[np.int64]:
        reserved: NDArray[np.int64] = np.floor(self.capacity * self.headroom).astype(np.int64)
        return reserved

    def _slack(self, allocated: NDArray[np.int64]) -> NDArray[np.int64]:
        slack: NDArray[np.int64] = np.floor(allocated * self.slack_fraction).astype(np.int64)
        return slack

    def stages(self, plan: int) -> tuple[StageMemory, ...]:
        """The stages of one plan of the batch as values."""
        return tuple(self._stage(plan, stage) for stage in range(self.weights.shape[1]))

    def _stage(self, plan: int, stage: int) -> StageMemory:
        at = (plan, stage)
        updating = bool(self.update_allocated[at] > self.step_allocated[at])
        phase, components = UPDATE if updating else BACKWARD, self._components(at, updating)
        other = self._components(at, not updating)
        starting = self._starting(at)
        if starting is not None and starting.total_bytes > components.total_bytes:
            phase, other, components = START, self._components(at, updating=False), starting
        return StageMemory(
            stage=stage,
            peak_phase=phase,
            components=components,
            capacity_bytes=int(self.capacity[at]),
            headroom_bytes=int(self._headroom_bytes[at]),
            other_components=other,
        )

    def _starting(self, at: tuple[int, int]) -> MemoryComponents | None:
        """What a stage of a plan holds when its model is made whole; None where it is not."""
        if self.start is None:
            return None
        return MemoryComponents(
            weights=int(self.start[at]),
            gradients=0,
            optimizer=0,
            activations=0,
            logits=0,
            buffers=0,
            fixed=int(self.fixed[at]),
            slack=int(self._slack(self.start[at])),
        )

    def _components(self, at: tuple[int, int], updating: bool) -> MemoryComponents:
        """What a stage of a plan holds at the fullest instant of a phase."""
        allocated = (self.update_allocated if updating else self.step_allocated)[at]
        return MemoryComponents(
            weights=int(self.weights[at]),
            gradients=int(self.gradients[at]),
            optimizer=int(self.optimizer[at]),
            activations=0 if updating else int(self.activations[at]),
            logits=0 if updating else int(self.logits[at]),
            buffers=int(self.update_buffers[at] if updating else self.buffers[at]),
            fixed=int(self.fixed[at]),
            slack=int(self._slack(allocated) + self.pooled[at]),
        )


def stage_peaks(
    scenario: Scenario, table: CostTable, batch: Batch, *, dense_gradients: bool = True
) -> StagePeaks:
    """Memory of every stage of every plan of the batch. `dense_gradients=False` leaves out the
    embedding's dense gradient."""
    dense, expert = stage_parameters(scenario, table, batch)
    ends = end_parameters(table, batch)
    weights, gradients, optimizer, update = _states(scenario, batch, dense, expert, ends)
    units = gathered_units(scenario, table, batch)
    peak = activation_peak(scenario, table, batch, units, dense_gradients=dense_gradients)
    gone = peak.offloaded(scenario, table, batch) if batch.offloads else np.int64(0)
    of_stages = scenario.stage_types(batch.pipeline)
    types = [of_stages[stage] for stage in batch.stages.tolist()]
    standing = placeholders(table, batch) + np.array(
        [[largest_workspaces(scenario, of_stage) for of_stage in types]]
    )
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
            np.array([outside_allocator(scenario, found) for found in types], dtype=np.int64)
            + among_tensor_ranks(scenario, batch),
            shape,
        ),
        slack_fraction=scenario.job.software.slack,
        pooled=units.pooled,
        capacity=np.broadcast_to(
            np.array(
                [min(scenario.device_types[i].memory_bytes for i in found) for found in types],
                dtype=np.int64,
            ),
            shape,
        ),
        headroom=scenario.job.headroom,
        start=_whole_at_start(scenario, batch, dense + expert),
        node_bytes=node_bytes(scenario, device_bytes(scenario, batch, dense, expert) + gone)
        if batch.offloads and batch.loads_of is None
        else None,
        node_capacity=scenario.host.node_bytes,
    )


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


def stage_parameters(
    scenario: Scenario, table: CostTable, batch: Batch
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Dense and expert parameters on one device of every stage, int64 [N, p] each. A tied
    embedding is held once by a stage that has the head too. Where the vocabulary is shared,
    positions are not: the first stage has them."""
    counts = batch.load.of_stages
    dense = table.dense_parameters[batch.row] @ counts.T
    expert = table.expert_parameters[batch.row] @ counts.T
    both = np.minimum(counts[:, -2], counts[:, -1])
    if scenario.model.tie_embeddings and both.any():
        dense = dense - embedding_parameters(scenario, batch)[:, None] * both
    if batch.kind.shares_vocabulary:
        dense[:, batch.stages == 0] += scenario.workload(Shard()).learned_positions
    return dense, expert


def end_parameters(table: CostTable, batch: Batch) -> NDArray[np.int64]:
    """Of the dense parameters of every stage those of embedding and head, int64 [N, p], which stay
    in 16 bits (a tied embedding that a stage has twice counts twice)."""
    counts = batch.load.of_stages[:, -OUTER_KINDS:]
    ends: NDArray[np.int64] = table.dense_parameters[batch.row][:, -OUTER_KINDS:] @ counts.T
    return ends


def state_bytes(
    scenario: Scenario,
    batch: Batch,
    dense: NDArray[np.int64],
    expert: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Bytes of weights, gradients and optimizer states, for parameter counts of a device, int64 [N,
    …] like `dense` and `expert`; `ends` are those of the dense that no format quantises."""
    weights, gradients, optimizer, _ = _states(scenario, batch, dense, expert, ends)
    return np.asarray(weights + gradients + optimizer)


def _states(
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
    gradients_here = np.where(leave, here, 1)
    kept_bytes = kept_master_bytes(software, job.precision, batch)[:, None]
    total = np.zeros((4, *dense.shape))
    for parameters, replicas in (
        (dense, batch.dense_replicas[:, None]),
        (expert, batch.expert_replicas[:, None]),
    ):
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
