"""Peak memory of every stage of every plan of a batch, by component.

Two peaks are compared. The forward/backward peak has the most microbatches in flight: it comes
either while the loss is computed (logits alive) or in the backward pass of a layer (its gradients
and, under full recomputation, everything it saved). The optimizer peak has no activations but the
optimizer's temporaries. Weights, gradients and optimizer states are there all the time.

Bytes per parameter follow Megatron-LM (`distrib_optimizer.md`; `theoretical_memory_usage.py`: 18
without a sharded optimizer and fp32 gradients, 6 + 12/d with) and Rajbhandari et al. 2020 (ZeRO,
section 3) for the shardings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.batch import FULLY, OPTIMIZER, OPTIMIZER_AND_GRADIENTS, SELECTIVE
from planner.plan import MemoryComponents, StageMemory
from planner.schedule.inflight import peak_in_flight
from planner.workload.formats import (
    QUANTIZED_BYTES,
    STATE_BYTES,
    gradient_bytes,
    reduced_gradient_bytes,
    weight_bytes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.batch import Batch
    from planner.costs import CostTable
    from planner.scenario import Scenario
    from planner.workload.stages import StageLoad


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StagePeaks:
    """int64 [N, p] each. `step` is what lives in the forward/backward peak, `update` in the
    optimizer's, beside the three that are always there."""

    weights: NDArray[np.int64]
    gradients: NDArray[np.int64]
    optimizer: NDArray[np.int64]
    activations: NDArray[np.int64]
    logits: NDArray[np.int64]
    buffers: NDArray[np.int64]
    update_buffers: NDArray[np.int64]
    fixed: NDArray[np.int64]
    slack_fraction: float
    capacity: NDArray[np.int64]
    headroom: float

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
        return allocated + self._slack(allocated) + self.fixed

    @property
    def spare(self) -> NDArray[np.int64]:
        """Bytes left below capacity minus headroom; negative where a stage does not fit."""
        return self.capacity - self._headroom_bytes - self.device_peak

    @property
    def fits(self) -> NDArray[np.bool_]:
        """[N]: every stage fits."""
        fits: NDArray[np.bool_] = np.all(self.spare >= 0, axis=-1)
        return fits

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
        allocated = np.maximum(self.update_allocated[at], self.step_allocated[at])
        return StageMemory(
            stage=stage,
            peak_phase="optimizer" if updating else "backward",
            components=MemoryComponents(
                weights=int(self.weights[at]),
                gradients=int(self.gradients[at]),
                optimizer=int(self.optimizer[at]),
                activations=0 if updating else int(self.activations[at]),
                logits=0 if updating else int(self.logits[at]),
                buffers=int(self.update_buffers[at] if updating else self.buffers[at]),
                fixed=int(self.fixed[at]),
                slack=int(self._slack(allocated)),
            ),
            capacity_bytes=int(self.capacity[at]),
            headroom_bytes=int(self._headroom_bytes[at]),
        )


def stage_peaks(scenario: Scenario, table: CostTable, batch: Batch) -> StagePeaks:
    """Memory of every stage of every plan of the batch."""
    dense, expert = stage_parameters(scenario, table, batch)
    weights, gradients, optimizer, update = _states(scenario, batch, dense, expert)
    activations, logits, working = _activations(table, batch)
    receiving = (2 if batch.pipeline > 1 else 0) * table.residual_bytes[batch.row, None]
    gathered = _gathered(scenario, table, batch)
    device = [
        (
            min(scenario.device_types[i].memory_bytes for i in types),
            max(scenario.device_types[i].context_bytes for i in types),
        )
        for types in scenario.stage_types(batch.pipeline)
    ]
    communicating = scenario.job.devices > 1
    outside = scenario.job.software.communication_buffers.value if communicating else 0
    shape = activations.shape
    return StagePeaks(
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        activations=activations,
        logits=logits,
        buffers=working + receiving + gathered + _buckets(scenario, dense + expert),
        update_buffers=update,
        fixed=np.broadcast_to(
            np.array([int(context + outside) for _, context in device], dtype=np.int64), shape
        ),
        slack_fraction=scenario.job.software.allocator_slack.value,
        capacity=np.broadcast_to(np.array([size for size, _ in device], dtype=np.int64), shape),
        headroom=scenario.job.headroom,
    )


def stage_parameters(
    scenario: Scenario, table: CostTable, batch: Batch
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Dense and expert parameters on one device of every stage, int64 [N, p] each. A tied
    embedding is held once when first and last stage are the same, else by both."""
    counts = batch.load.counts.sum(axis=1)
    dense = table.dense_parameters[batch.row] @ counts.T
    expert = table.expert_parameters[batch.row] @ counts.T
    if scenario.model.tie_embeddings and batch.pipeline == 1:
        vocabulary = np.array([scenario.model.padded_vocab_size(int(t)) for t in batch.tensor])
        dense = dense - (vocabulary // batch.tensor * scenario.model.hidden_size)[:, None]
    return dense, expert


def optimizer_shards(scenario: Scenario, replicas: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ranks among which one sharded optimizer is divided."""
    largest = scenario.job.software.optimizer_shard_size
    return replicas if largest is None else np.minimum(replicas, largest)


def _states(
    scenario: Scenario, batch: Batch, dense: NDArray[np.int64], expert: NDArray[np.int64]
) -> tuple[NDArray[np.int64], ...]:
    """Weights, gradients, optimizer states, and the optimizer step's temporaries, int64 [N, p].

    Fully sharded, the fp32 weights are the only ones (PyTorch FSDP2 mixed precision), so the
    optimizer holds no second copy of them.
    """
    software, job = scenario.job.software, scenario.job
    quantized = QUANTIZED_BYTES.get(job.precision, 0.0) if software.fp8.weights_cached else 0.0
    main_bytes = gradient_bytes(software, job.precision)
    local_bytes = 2 if software.keeps_local_gradients else 0
    master_bytes = 4 if software.master_weights and job.precision != "fp32" else 0
    moments = 2 if job.optimizer == "adam" else 1
    moment_bytes = moments * STATE_BYTES[software.optimizer_state_dtype]
    update_bytes = 4 if main_bytes < 4 and master_bytes else 0

    sharding = batch.data_sharding[:, None]
    fully = sharding == FULLY
    total = np.zeros((4, *dense.shape))
    for parameters, replicas in (
        (dense, batch.dense_replicas[:, None]),
        (expert, batch.expert_replicas[:, None]),
    ):
        optimizer_shard = parameters / np.where(
            sharding >= OPTIMIZER, optimizer_shards(scenario, replicas), 1
        )
        gradient_shard = parameters / np.where(sharding >= OPTIMIZER_AND_GRADIENTS, replicas, 1)
        total[0] += np.where(
            fully,
            optimizer_shard * max(weight_bytes(job.precision), master_bytes),
            parameters * (weight_bytes(job.precision) + 2 * quantized),
        )
        total[1] += gradient_shard * main_bytes + parameters * local_bytes
        total[2] += optimizer_shard * (np.where(fully, 0, master_bytes) + moment_bytes)
        total[3] += optimizer_shard * update_bytes
    return tuple(np.ceil(total).astype(np.int64))


def _buckets(scenario: Scenario, parameters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Buffers that gradients are copied through on their way, int64 [N, p]."""
    software = scenario.job.software
    largest = parameters * reduced_gradient_bytes(software, scenario.job.precision)
    bucket = np.minimum(int(software.bucket_bytes.value), largest)
    return bucket * software.bucket_buffers


def _activations(
    table: CostTable, batch: Batch
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Activations, logits and working memory at the forward/backward peak, int64 [N, p] each."""
    row, load = batch.row, batch.load
    microbatches, which = np.unique(batch.num_microbatches, return_inverse=True)
    in_flight = peak_in_flight(
        batch.schedule,
        stages=batch.pipeline,
        virtual_stages=batch.virtual_stages,
        num_microbatches=microbatches,
    )
    activations, replayed = _kept(table, batch, in_flight, which)

    losses = _losses(table, load.counts)
    logits_bytes = table.logits_bytes[row, -1][:, None]
    logits = (in_flight[..., -1] * losses[:, -1])[which] * logits_bytes
    has_loss = losses[:, -1] > 0
    loss_working = (
        has_loss * (table.logits_working_bytes[row, -1] + table.working_bytes[row, -1])[:, None]
    )
    last_loss = has_loss * logits_bytes

    present = load.counts.sum(axis=1) > 0
    present[:, -1] = False
    in_layer = _largest(table.working_bytes, row, present) + replayed
    at_loss = last_loss + loss_working >= in_layer
    return (
        activations,
        np.where(at_loss, logits, logits - last_loss),
        np.where(at_loss, loss_working, in_layer),
    )


def _kept(
    table: CostTable, batch: Batch, in_flight: NDArray[np.int64], which: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What all microbatches in flight leave on every stage and the most that one recomputed layer
    restores beyond what its microbatch has freed by then, [N, p] each. `in_flight` is [M, p, v];
    plan n has row `which[n]` of it."""
    load, row = batch.load, batch.row
    selective = (batch.granularity == SELECTIVE)[:, None]
    saved = np.where(selective, table.selective_bytes[row], table.saved_bytes[row])
    kept = _in_flight_bytes(in_flight, which, load.counts, saved)
    replayed = np.zeros_like(kept)
    dropped = table.saved_bytes[row] - table.full_bytes[row]
    full = batch.fully_recomputed
    for layers in np.unique(full[full > 0]):
        plans = np.flatnonzero(full == layers)
        leading = load.leading[layers]
        kept[plans] -= _in_flight_bytes(in_flight, which[plans], leading, dropped[plans])
        restored = _largest(dropped, plans, leading.sum(axis=1) > 0)
        freed = _freed_before_replay(load, layers, table.saved_bytes[row[plans]])
        replayed[plans] = np.maximum(restored - freed, 0)
    return kept, replayed


def _freed_before_replay(
    load: StageLoad, layers: int, saved: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Bytes, [N, p], that a microbatch's own backward pass has freed when it comes to the first
    `layers` of a chunk, which it recomputes: those of the layers after them, in the chunk where
    that is least. `saved` is [N, K]."""
    after = load.counts - load.leading[layers]
    after[..., -2:] = 0
    freed = np.einsum("pvk,nk->npv", after, saved)
    recomputes = load.leading[layers].sum(axis=-1) > 0
    unused = np.iinfo(np.int64).max
    least: NDArray[np.int64] = np.where(recomputes, freed, unused).min(axis=-1)
    return np.where(least == unused, 0, least)


def _in_flight_bytes(
    in_flight: NDArray[np.int64],
    which: NDArray[np.intp],
    counts: NDArray[np.int64],
    layer_bytes: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Bytes of layers [N, K] times how often they are in flight on each stage, [N, p]: chunks are
    summed once per row of `in_flight`, not per plan."""
    layers = np.einsum("mpv,pvk->kmp", in_flight, counts)
    total = np.zeros((len(which), layers.shape[-1]), dtype=np.int64)
    for kind, in_flight_layers in enumerate(layers):
        total += in_flight_layers[which] * layer_bytes[:, kind, None]
    return total


def _largest(
    layer_bytes: NDArray[np.int64],
    plans: NDArray[np.int64] | NDArray[np.bool_],
    present: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """The largest of [R, K] bytes among the kinds present on each stage [p, K], for the chosen
    rows, [N, p]. Stages that hold the same kinds share one answer."""
    kinds, inverse = np.unique(present, axis=0, return_inverse=True)
    chosen = layer_bytes[plans]
    by_kinds = np.stack([np.where(held, chosen, 0).max(axis=-1) for held in kinds], axis=-1)
    largest: NDArray[np.int64] = by_kinds[:, inverse.reshape(-1)]
    return largest


def _losses(table: CostTable, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Losses computed by every chunk, [p, v]: the head's, and one of each multi-token-prediction
    module."""
    with_logits = (table.logits_bytes > 0).any(axis=0)
    losses: NDArray[np.int64] = counts[..., with_logits].sum(axis=-1)
    return losses


def _gathered(scenario: Scenario, table: CostTable, batch: Batch) -> NDArray[np.int64]:
    """Whole layers gathered for use under full sharding: the one in use and the one prefetched,
    and the whole gradient of one (PyTorch FSDP2, Megatron-FSDP), int64 [N, p]."""
    fully = batch.data_sharding == FULLY
    gathered = np.zeros((len(batch), batch.pipeline), dtype=np.int64)
    if fully.any():
        layer = table.dense_parameters + table.expert_parameters
        present = batch.load.counts.sum(axis=1) > 0
        job = scenario.job
        whole_bytes = 2 * 2 + reduced_gradient_bytes(job.software, job.precision)
        gathered[fully] = _largest(layer, batch.row[fully], present) * whole_bytes
    return gathered
