"""Collectives once per step: the reduction of gradients, and the gathering of parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.arrays import distinct, distinct_rows, numbered
from planner.hardware.collectives import all_gather_s, all_reduce_s, reduce_scatter_s
from planner.training.batch import OPTIMIZER, OPTIMIZER_AND_GRADIENTS, UNSHARDED
from planner.training.layer.overlap import exposed_s
from planner.training.memory.parameters import stage_parameters
from planner.training.memory.sharding import (
    kept_whole,
    reduced_every_microbatch,
    sharers,
    state_groups,
)
from planner.workload.formats import (
    bucket_bytes,
    gathered_weight_bytes,
    gradient_bytes,
    reduced_gradient_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from planner.hardware.links import ProcessGroup
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


class OnceAStep(NamedTuple):
    """A collective that runs once a step, in seconds of every stage, [N, p]: `seconds`, of which
    all but `uncovered_s` may run beside a pass, and `apart_s`, which never does."""

    seconds: NDArray[np.float64]
    uncovered_s: NDArray[np.float64]
    apart_s: NDArray[np.float64]

    def exposed_s(self, scenario: Scenario, cover_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much it lengthens a step beside a pass of `cover_s` seconds, [N, p]."""
        return exposed_s(scenario, self.seconds, cover_s, self.uncovered_s) + self.apart_s


def by_degrees(
    scenario: Scenario,
    batch: Batch,
    dense: NDArray[np.int64],
    expert: NDArray[np.int64],
    element_bytes: float,
    collective_s: Callable[[ProcessGroup, float], float],
    *,
    groups: NDArray[np.int64] | None = None,
    between: bool = False,
) -> NDArray[np.float64]:
    """Seconds of a collective over each stage's parameters, [N, p]: the dense ones among the
    data · context ranks of the stage, then the experts' among theirs. Where the ranks fall into so
    many `groups`, [N], it runs inside each of them, or `between` them on the share of every rank.
    Priced once per set of degrees."""
    groups = np.ones_like(batch.data) if groups is None else groups
    first, which = distinct_rows(
        (batch.tensor, batch.context, batch.data, batch.expert, batch.expert_tensor, groups)
    )
    seconds = np.empty((len(first), dense.shape[1]))
    for unique, plan in enumerate(first.tolist()):
        several = int(groups[plan])
        dense_size = max(1, int(batch.dense_replicas[plan]) // several)
        expert_size = max(1, int(batch.expert_replicas[plan]) // several)
        dense_stride = int(batch.tensor[plan])
        expert_stride = int(batch.expert[plan] * batch.expert_tensor[plan])
        dense_share = expert_share = element_bytes
        if between:
            dense_share, dense_stride = element_bytes / dense_size, dense_stride * dense_size
            expert_share, expert_stride = element_bytes / expert_size, expert_stride * expert_size
            dense_size = expert_size = several
        dense_groups = scenario.topology.stage_groups(dense_size, dense_stride, batch.pipeline)
        expert_groups = scenario.topology.stage_groups(expert_size, expert_stride, batch.pipeline)
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
                known[key] = collective_s(dense_group, dense_count * dense_share) + (
                    collective_s(expert_group, expert_count * expert_share) if expert_count else 0.0
                )
            seconds[unique, stage] = known[key]
    return seconds[which]


def gradient_reduction_s(
    scenario: Scenario, table: CostTable, batch: Batch, last_backward_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Exposed seconds of each stage's gradient reduction after its last backward pass, [N, p]."""
    return gradient_reduction(scenario, table, batch).exposed_s(scenario, last_backward_s)


def gradient_reduction(scenario: Scenario, table: CostTable, batch: Batch) -> OnceAStep:
    """Each stage's gradient reduction.

    All-reduce without sharding, reduce-scatter with an optimizer sharded over all replicas
    (Megatron-LM `distrib_optimizer.md`). With one in every group of replicas, reduce-scatter inside
    the group and all-reduce of the shares between groups (`param_and_grad_buffer.py`,
    `start_grad_sync`), or an all-reduce over all. Gradients that are already sharded were reduced
    for every microbatch, unless they stay unsharded until the last one. With the overlap on, it
    runs bucket by bucket behind the last microbatch's backward pass, all but the last bucket. What
    groups add up at the end of the step does not overlap (DeepSpeed `runtime/zero/mics.py`,
    `allreduce_mics_shard_grads`).
    """
    software = scenario.job.software
    reduce_bytes = reduced_gradient_bytes(software, scenario.job.precision)
    dense, expert = stage_parameters(scenario, table, batch)
    sharding = batch.data_sharding[:, None]
    seconds = np.zeros(dense.shape)
    groups = state_groups(software, batch)
    whole = sharding == UNSHARDED
    if software.data_sharding.groups_reduce == "whole":
        whole = whole | ((sharding == OPTIMIZER) & (groups > 1)[:, None])
    if whole.any():
        reduced = by_degrees(scenario, batch, dense, expert, reduce_bytes, all_reduce_s)
        seconds = np.where(whole, reduced, seconds)
    divided = ((sharding == OPTIMIZER) & ~whole) | kept_whole(software, batch)[:, None]
    if divided.any():
        scattered = scattered_s(scenario, batch, dense, expert, groups)
        seconds = np.where(divided, scattered, seconds)
    uncovered_s, apart_s = seconds, np.zeros(seconds.shape)
    if "gradient_reduce" in software.overlap:
        bucket = bucket_bytes(software, scenario.job.precision)
        uncovered_s = seconds / np.maximum((dense + expert) * reduce_bytes / bucket, 1.0)
    late = software.data_sharding.groups_wait & reduced_every_microbatch(software, batch)
    if (late & (groups > 1)).any():
        added = between_groups_s(scenario, batch, dense, expert, groups)
        apart_s = np.where(late[:, None], added, 0.0)
    return OnceAStep(seconds, uncovered_s, apart_s)


def scattered_s(
    scenario: Scenario,
    batch: Batch,
    dense: NDArray[np.int64],
    expert: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Seconds, [N, p], in which gradients are divided among the replicas of every group and the
    shares are added up between groups."""
    reduce_bytes = reduced_gradient_bytes(scenario.job.software, scenario.job.precision)
    inside_s = by_degrees(
        scenario, batch, dense, expert, reduce_bytes, reduce_scatter_s, groups=groups
    )
    return inside_s + between_groups_s(scenario, batch, dense, expert, groups)


def between_groups_s(
    scenario: Scenario,
    batch: Batch,
    dense: NDArray[np.int64],
    expert: NDArray[np.int64],
    groups: NDArray[np.int64],
    reduce_s: Callable[[ProcessGroup, float], float] = all_reduce_s,
) -> NDArray[np.float64]:
    """Seconds, [N, p], of the all-reduce of every rank's share of the gradients between groups."""
    if not (groups > 1).any():
        return np.zeros(dense.shape)
    reduce_bytes = reduced_gradient_bytes(scenario.job.software, scenario.job.precision)
    return by_degrees(
        scenario, batch, dense, expert, reduce_bytes, reduce_s, groups=groups, between=True
    )


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
    sizes, inverse = numbered(dense + expert)
    by_size = np.array([all_reduce_s(pair, size * reduce_bytes) for size in sizes.tolist()])
    seconds: NDArray[np.float64] = by_size[inverse.reshape(dense.shape)]
    return seconds


def tied_reduction_s(scenario: Scenario, batch: Batch) -> NDArray[np.float64]:
    """All-reduce of the gradient of an embedding that first and last stage have, since it is tied
    to the output matrix or copied for layers that predict further tokens, [N], in the type in which
    it is kept (Megatron-LM `finalize_model_grads._allreduce_word_embedding_grads`; DeepSpeed
    `PipelineModule.allreduce_tied_weight_gradients`); 0 where both ends of the model are on one
    stage. No other stage uses the network at that time."""
    model, topology = scenario.model, scenario.topology
    seconds = np.zeros(len(batch))
    if not (model.tie_embeddings or model.mtp_num_layers) or batch.first_holds_head:
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
    [N, p]. A step waits for the slowest stage."""
    return parameter_gather(scenario, table, batch).exposed_s(scenario, first_forward_s)


def parameter_gather(scenario: Scenario, table: CostTable, batch: Batch) -> OnceAStep:
    """Each stage's gather of updated weights from the sharded optimizer; behind the next step's
    first forward pass with the overlap on, all but one bucket."""
    software = scenario.job.software
    none = np.zeros((len(batch), batch.pipeline))
    sharded = (
        (batch.data_sharding == OPTIMIZER)
        | (batch.data_sharding == OPTIMIZER_AND_GRADIENTS)
        | kept_whole(software, batch)
    )[:, None]
    if not sharded.any():
        return OnceAStep(none, none, none)
    dense, expert = stage_parameters(scenario, table, batch)
    element_bytes = gathered_weight_bytes(software, scenario.job.precision)
    groups = state_groups(software, batch)
    seconds = by_degrees(scenario, batch, dense, expert, element_bytes, all_gather_s, groups=groups)
    if software.owner_broadcast is not None:
        owners = sharers(batch.dense_replicas, groups)[:, None]
        seconds += np.where(owners > 1, owners * software.owner_broadcast.value, 0.0)
    seconds = np.where(sharded, seconds, 0.0)
    uncovered_s = seconds
    if "parameter_gather" in software.overlap:
        buckets = np.maximum((dense + expert) * element_bytes / software.bucket_bytes.value, 1.0)
        uncovered_s = seconds / buckets
    return OnceAStep(seconds, uncovered_s, none)
