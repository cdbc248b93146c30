"""Many plans at once: N combinations that share pipeline degree, schedule and stage layout.

The search prices its whole space in such batches; the estimate of one plan is a batch of one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import numbered
from planner.plan import DATA_SHARDINGS, GRANULARITIES
from planner.schedule.inflight import peaks_in_flight
from planner.schedule.registry import kind_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.schedule.kinds import ScheduleKind
    from planner.schedule.passes import ChunkMap
    from planner.workload.stages import StageLoad

NONE, SELECTIVE, FULL = range(len(GRANULARITIES))
"""Codes of the recompute granularities in `Batch.granularity`."""

OUTER_KINDS = 2
"""Embedding and head, the last columns of a load."""

_SHARED = ("pipeline", "virtual_stages", "schedule", "load", "loads_of")
"""What the plans of a batch have in common."""

UNSHARDED, OPTIMIZER, OPTIMIZER_AND_GRADIENTS, FULLY = range(len(DATA_SHARDINGS))
"""Codes of the data shardings in `Batch.data_sharding`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """All arrays are int64 of length N. `row` points into the cost table; `recomputed_layers` is
    per chunk and counts only under full granularity. `ahead` [N, p − 1]: microbatches that stages
    run ahead over every boundary, where the schedule does so and the links are known.
    `shard_over`: ranks among which sharded states are divided, 0 for all that there are.
    `optimizer_offload`: the share of the optimizer that is on the hosts, `weight_offload` 1 where
    sharded weights are there, `activation_offload` the share of activations that is; None where
    nothing is.

    `loads_of`: for the memory of several loads of a stage at once, the stage of each of the load's
    entries; None where there is one of every stage."""

    pipeline: int
    virtual_stages: int
    schedule: str
    load: StageLoad
    row: NDArray[np.int64]
    tensor: NDArray[np.int64]
    data: NDArray[np.int64]
    context: NDArray[np.int64]
    expert: NDArray[np.int64]
    expert_tensor: NDArray[np.int64]
    num_microbatches: NDArray[np.int64]
    granularity: NDArray[np.int64]
    recomputed_layers: NDArray[np.int64]
    data_sharding: NDArray[np.int64]
    ahead: NDArray[np.int64] | None = None
    shard_over: NDArray[np.int64] | None = None
    optimizer_offload: NDArray[np.float64] | None = None
    weight_offload: NDArray[np.int64] | None = None
    activation_offload: NDArray[np.float64] | None = None
    loads_of: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.row)

    def some(self, which: NDArray[np.integer]) -> Batch:
        """The batch of the chosen plans."""
        arrays = {
            one.name: getattr(self, one.name) for one in fields(self) if one.name not in _SHARED
        }
        known = {name: array[which] for name, array in arrays.items() if array is not None}
        return replace(self, **known)

    @property
    def kind(self) -> ScheduleKind:
        return kind_of(self.schedule)

    @property
    def placement(self) -> ChunkMap:
        return self.kind.placement(self.pipeline, self.virtual_stages)

    @property
    def stages(self) -> NDArray[np.int64]:
        """[p]: the stage of every entry of the load."""
        return np.arange(self.pipeline) if self.loads_of is None else self.loads_of

    @property
    def chunk_microbatches(self) -> NDArray[np.int64]:
        """Microbatches that pass through each chunk: all, or a share where the pipeline holds the
        model several times."""
        return self.num_microbatches // self.kind.parameter_copies

    @property
    def in_flight(self) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """Microbatches in flight in every chunk of `stages` at its fullest moment, [M, p, v], one
        row for every number of microbatches, and the row of each plan, [N]."""
        counts, which = numbered(self.num_microbatches)
        found = peaks_in_flight(self.schedule, self.pipeline, self.virtual_stages, counts)
        return found if self.loads_of is None else found[:, self.loads_of], which

    @property
    def pass_counts(self) -> NDArray[np.int64]:
        """Layers that forward and backward passes run, int [p, v, K]. The vocabulary's layers are
        left out where all stages share them: they have passes of their own."""
        if not self.kind.shares_vocabulary:
            return self.load.counts
        inner = self.load.counts.copy()
        inner[..., -OUTER_KINDS:] = 0
        return inner

    @property
    def first_holds_head(self) -> bool:
        """Whether the stage with the embedding also has the head, or the same share of both."""
        return bool(self.load.counts[0, :, -1].any())

    @property
    def dense_replicas(self) -> NDArray[np.int64]:
        """Devices that share one copy of the dense parameters' gradients: data · context."""
        return self.data * self.context

    @property
    def expert_replicas(self) -> NDArray[np.int64]:
        """The same for experts: data · context · tensor / (expert · expert_tensor)."""
        return self.data * self.context * self.tensor // (self.expert * self.expert_tensor)

    @property
    def sharding_groups(self) -> NDArray[np.int64]:
        """[N]: groups of replicas that hold a copy of the sharded states each, 1 where all replicas
        share one."""
        if self.shard_over is None:
            return np.ones_like(self.data)
        size = np.where(self.shard_over > 0, self.shard_over, self.dense_replicas)
        return np.maximum(self.dense_replicas // size, 1)

    @property
    def offloads(self) -> bool:
        """Whether any plan has something on the hosts."""
        parts = (self.optimizer_offload, self.weight_offload, self.activation_offload)
        return any(part is not None for part in parts)

    @property
    def host_activations(self) -> NDArray[np.float64]:
        """[N]: the share of activations that is on the hosts."""
        known = self.activation_offload
        return np.zeros(len(self)) if known is None else known

    @property
    def host_share(self) -> NDArray[np.float64]:
        """[N]: the share of the optimizer that is on the hosts."""
        known = self.optimizer_offload
        return np.zeros(len(self)) if known is None else known

    @property
    def host_weights(self) -> NDArray[np.bool_]:
        """[N]: whether sharded weights are on the hosts."""
        known = self.weight_offload
        return np.zeros(len(self), dtype=np.bool_) if known is None else known > 0

    @property
    def fully_recomputed(self) -> NDArray[np.int64]:
        """Recomputed layers per chunk, 0 unless the granularity is full."""
        return np.where(self.granularity == FULL, self.recomputed_layers, 0)
