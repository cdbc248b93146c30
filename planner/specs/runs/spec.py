"""Measured runs: every run with its cluster, model, job and plan settings, ready to estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.job import JobSpec
    from planner.specs.model.spec import ModelSpec
    from planner.specs.runs.file import MeasuredInput


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDegrees:
    """Sizes of the parallel axes, the data degree worked out."""

    tensor: int
    pipeline: int
    data: int
    context: int
    expert: int
    expert_tensor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measured run. A setting that is None is left to the software profile; `cluster` holds
    exactly the nodes of the run."""

    id: str
    group: str | None
    repeats: int
    cluster: ClusterSpec
    model: ModelSpec
    job: JobSpec
    degrees: RunDegrees
    micro_batch_size: int
    virtual_stages: int
    schedule: str | None
    stage_layers: tuple[int, ...] | None
    """Layers of every chunk, in order; worked out from `pseudo_layer_boundaries` too."""
    recompute: str | None
    recompute_layers: int | None
    recompute_modules: tuple[str, ...] | None
    sequence_parallel: bool | None
    data_sharding: str | None
    optimizer_shard_size: int | None
    optimizer_offload: float
    weight_offload: bool
    activation_offload: float
    attention: str | None
    compile: bool | None
    overlap: tuple[str, ...] | None
    dispatcher: str | None
    launch_blocking: bool | None
    eight_bit_output: bool | None
    measured: MeasuredInput
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """A run that cannot be planned, and why."""

    id: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsFile:
    """The runs of a file, those that cannot be planned apart."""

    path: str
    source: str | None
    runs: tuple[Run, ...]
    errors: tuple[RunError, ...]
