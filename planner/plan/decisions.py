"""A plan: every decision that a launcher needs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

AXES = ("tensor", "pipeline", "data", "context", "expert", "expert_tensor")
"""The parallel axes."""
GRANULARITIES = ("none", "selective", "full")
"""What the backward pass computes again: nothing, selected parts of every layer, or whole
layers."""
DATA_SHARDINGS = ("none", "optimizer", "optimizer+gradients", "full")
"""What is sharded over the data axis: nothing, ZeRO-1, ZeRO-2, ZeRO-3 (FSDP)."""
DISPATCHERS = ("alltoall", "allgather", "deepep", "hybridep", "ncclep")
"""What carries tokens to their experts."""
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "mxfp8", "nvfp4")
"""Number formats of the matmuls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Degrees:
    """Sizes of the parallel axes. Devices = tensor · pipeline · data · context; the expert axes
    are cut out of tensor · context · data (Megatron-LM `parallel_state.initialize_model_parallel`).
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    context: int = 1
    expert: int = 1
    expert_tensor: int = 1

    @property
    def devices(self) -> int:
        return self.tensor * self.pipeline * self.data * self.context

    @property
    def stage_devices(self) -> int:
        """Devices that hold one stage, all replicas together."""
        return self.tensor * self.data * self.context

    @property
    def expert_data(self) -> int:
        """Replicas of each expert: the size of the group that reduces the experts' gradients."""
        return self.stage_devices // (self.expert * self.expert_tensor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recompute:
    """What the backward pass computes again. `layers_per_stage` counts fully recomputed layers
    and is all zeros unless the granularity is "full"."""

    granularity: str
    layers_per_stage: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One pipeline position: its chunks as half-open layer ranges, in virtual-stage order."""

    index: int
    chunks: tuple[tuple[int, int], ...]
    embedding: bool
    head: bool

    @property
    def num_layers(self) -> int:
        return sum(end - start for start, end in self.chunks)


def recomputed_per_stage(stages: Sequence[Stage], per_chunk: int) -> tuple[int, ...]:
    """Fully recomputed layers of every stage when each chunk recomputes its first `per_chunk`
    layers (Megatron-LM `--recompute-method block`)."""
    return tuple(
        sum(min(end - start, per_chunk) for start, end in stage.chunks) for stage in stages
    )


def recomputed_per_chunk(stages: Sequence[Stage], per_stage: Sequence[int]) -> int | None:
    """The inverse of `recomputed_per_stage`; None when no number per chunk gives `per_stage`. More
    per chunk is more in all, so that the number is found by bisection."""
    most = max((end - start for stage in stages for start, end in stage.chunks), default=0)
    wanted = sum(per_stage)
    counts = range(most if wanted else 0)
    found = bisect_left(counts, wanted, key=lambda count: sum(recomputed_per_stage(stages, count)))
    return found if recomputed_per_stage(stages, found) == tuple(per_stage) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Which host takes each position of the rank grid. Rank r runs on `hosts[r // G]`, device
    r mod G, where G is the devices per node of that host; `order` names the framework's rank
    order, its leftmost axis varying fastest."""

    order: str
    hosts: tuple[str, ...]
    ranks: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every decision that a launcher needs. `num_microbatches`: the microbatches of one replica in
    a step; `virtual_stages`: the chunks of each stage; `shard_over`: the data · context ranks among
    which what is sharded is divided, None where all of them share it; `optimizer_offload`: the
    share of the optimizer that lives in the memory of the hosts; `weight_offload`: whether sharded
    weights do; `activation_offload`: the share of what microbatches leave for their backward pass
    that does."""

    degrees: Degrees
    micro_batch_size: int
    num_microbatches: int
    schedule: str
    virtual_stages: int
    sequence_parallel: bool
    data_sharding: str
    recompute: Recompute
    stages: tuple[Stage, ...]
    placement: Placement
    dispatcher: str | None = None
    """One of `DISPATCHERS`; None: no expert degree, or as the software profile does by default."""
    expert_overlap: bool = False
    """Exchanges of experts run beside the computation of another microbatch."""
    dispatch_pieces: int = 1
    """Parts of the tokens that travel to their experts one after the other."""
    shard_over: int | None = None
    optimizer_offload: float = 0.0
    weight_offload: bool = False
    activation_offload: float = 0.0
    recompute_modules: tuple[str, ...] | None = None
    """What selective recomputation computes again; None: what the job says."""
    offload_modules: tuple[str, ...] | None = None
    """Whose activations are in the memory of the hosts; None: what the job says."""

    @property
    def choices(self) -> dict[str, int | float | str | bool | None]:
        """What the plan chooses on every axis of a search, by the name of the axis."""
        return {
            **{axis: getattr(self.degrees, axis) for axis in AXES},
            "micro_batch_size": self.micro_batch_size,
            "virtual_stages": self.virtual_stages,
            "schedule": self.schedule,
            "recompute": self.recompute.granularity,
            "sequence_parallel": self.sequence_parallel,
            "data_sharding": self.data_sharding,
            "dispatcher": self.dispatcher,
            "expert_overlap": self.expert_overlap,
            "dispatch_pieces": self.dispatch_pieces,
            "shard_over": self.shard_over or "all",
            "optimizer_offload": self.optimizer_offload,
            "weight_offload": self.weight_offload,
            "activation_offload": self.activation_offload,
        }

    @property
    def chooses_modules(self) -> bool:
        """Whether it says by itself which modules are computed again or offloaded."""
        return (self.recompute_modules, self.offload_modules) != (None, None)

    @property
    def sharding_groups(self) -> int:
        """Groups of replicas that hold a copy of the sharded states each."""
        replicas = self.degrees.data * self.degrees.context
        return 1 if self.shard_over is None else max(1, replicas // self.shard_over)
