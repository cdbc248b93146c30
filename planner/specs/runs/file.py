"""Files of measured runs: what a user writes. `runs` makes values of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SkipValidation

from planner.specs.cluster.file import ClusterInput
from planner.specs.device import Precision
from planner.specs.experts import DispatcherName
from planner.specs.files.fields import Count, Fraction, Input, Size, Text
from planner.specs.model.file import ModelInput
from planner.specs.optimizers import MasterType, MomentType, StateType
from planner.specs.software import AttentionKernel, Overlap
from planner.specs.software_words import (
    Allocator,
    DataSharding,
    Granularity,
    OffloadModule,
    OffloadPlace,
    RecomputeModule,
    ScheduleName,
    UpdateStride,
)

Positive = Annotated[float, Field(gt=0, le=1e15)]
Degree = Annotated[int, Field(ge=1, le=1_000_000)]

# References are loaded by `runs`, which knows the folder and what merges over what.
ClusterReference = SkipValidation[ClusterInput | str | None]
ModelReference = SkipValidation[ModelInput | str | None]


class DegreesInput(Input):
    """Sizes of the parallel axes."""

    tensor: Degree = 1
    pipeline: Degree = 1
    data: Degree | None = None
    """Default: devices / (tensor · pipeline · context)."""
    context: Degree = 1
    expert: Degree = 1
    expert_tensor: Degree = 1


class SettingsInput(Input):
    """What a run states about its job and plan; `defaults` states it for all runs."""

    cluster: ClusterReference = None
    """A shipped name, a path relative to this file, or the content itself."""
    software: Text | None = None
    """A shipped software profile, or the path of one."""
    model: ModelReference = None
    """The same; it merges over the model of `defaults`, and that over the file's."""
    devices: Count | None = None
    nodes: Count | None = None
    seq_length: Size | None = None
    global_batch_size: Size | None = None
    micro_batch_size: Size | None = None
    precision: Precision | None = None
    degrees: DegreesInput = DegreesInput()
    virtual_stages: Annotated[int, Field(ge=1, le=100_000)] = 1
    schedule: ScheduleName | None = None
    stage_layers: (
        Annotated[tuple[Annotated[int, Field(ge=0, le=100_000)], ...], Field(max_length=100_000)]
        | None
    ) = None
    """Layers of every chunk, in order."""
    pseudo_layer_boundaries: (
        Annotated[tuple[Annotated[int, Field(ge=0, le=100_000)], ...], Field(max_length=100_000)]
        | None
    ) = None
    """A printed cut over pseudo-layers: 2 stand before and 4 after the transformer layers."""
    recompute: Granularity | None = None
    recompute_layers: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Fully recomputed layers of a stage. Default: all."""
    recompute_modules: Annotated[tuple[RecomputeModule, ...], Field(min_length=1)] | None = None
    """What selective recomputation repeated."""
    sequence_parallel: bool | None = None
    data_sharding: DataSharding | None = None
    optimizer_shard_size: Degree | None = None
    """Ranks that share one sharded optimizer. Default: all."""
    optimizer_offload: Fraction = 0.0
    """Share of the optimizer that is offloaded."""
    offload_to: OffloadPlace | None = None
    """Where it is. Default: host memory."""
    update_stride: UpdateStride | None = None
    """Of so many sub-groups of it one was updated on the device. Default: none."""
    weight_offload: bool = False
    """Sharded weights were in host memory."""
    activation_offload: Fraction = 0.0
    """Share of the activations in host memory."""
    offload_modules: tuple[OffloadModule, ...] | None = None
    """The modules whose activations those are. Default: all of a layer."""
    master_weights: MasterType | None = None
    """Type of the optimizer's copy of the weights."""
    moments: tuple[MomentType, ...] | None = None
    """Type of the optimizer's moments: one, or two where they differ."""
    gradients: StateType | None = None
    """Type in which gradients were kept over the microbatches of a step."""
    loss_chunks: Count | None = None
    """Chunks of the tokens in output layer and loss."""
    packed_length: Size | None = None
    """Tokens of the sequence that a token is in, where several fill the sequence length."""
    allocator: Allocator | None = None
    """Memory was reserved in segments of fixed sizes, or in segments that grow."""
    attention: AttentionKernel | None = None
    compile: bool | None = None
    overlap: tuple[Overlap, ...] | None = None
    dispatcher: DispatcherName | None = None
    """How tokens reached their experts."""
    launch_blocking: bool | None = None
    """The host waited for every kernel."""
    eight_bit_output: bool | None = None
    """The output layer ran in the format of the others, and not in 16 bits."""


class MeasuredInput(Input):
    """What was measured; any part of it."""

    step_s: Positive | None = None
    tokens_per_s_per_device: Positive | None = None
    model_tflops_per_device: Positive | None = None
    """Without recomputation."""
    hardware_tflops_per_device: Positive | None = None
    """With recomputation."""
    peak_allocated_gib: Positive | None = None
    """Live tensors of the fullest rank."""
    peak_reserved_gib: Positive | None = None
    """The allocator's pool."""
    peak_device_gib: Positive | None = None
    """As nvidia-smi shows it."""
    peak_allocated_gib_per_stage: tuple[Positive, ...] | None = None
    min_rank_allocated_gib: Positive | None = None
    stage_forward_ms: tuple[Positive, ...] | None = None
    stage_backward_ms: tuple[Positive, ...] | None = None
    oom: bool = False
    """The run ran out of memory."""


class RunInput(SettingsInput):
    """One measured run."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    group: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Runs of one group differ in their plan only."""
    repeats: Count = 1
    """Repeats behind a median."""
    measured: MeasuredInput = MeasuredInput()


class RunsInput(Input):
    """Measured runs for `planner validate`. What a run leaves out comes from `defaults`, then the
    software profile, then the architecture."""

    source: Text | None = None
    """Where the figures were published."""
    cluster: ClusterReference = None
    """A shipped name, a path relative to this file, or the content itself."""
    software: Text | None = None
    """A shipped software profile, or the path of one. Default: megatron-core."""
    model: ModelReference = None
    """The same. Part of a model is enough where the runs give the rest."""
    defaults: SettingsInput = SettingsInput()
    runs: Annotated[tuple[SkipValidation[RunInput], ...], Field(min_length=1, max_length=10_000)]
    """Each is checked on its own, so that one wrong run does not hide the others."""
