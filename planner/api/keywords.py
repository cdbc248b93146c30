"""The keywords that functions share, with their meaning and units. Each corresponds to the
command-line option of the same name: `global_batch_size` is --global-batch-size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

if TYPE_CHECKING:
    from planner.specs.software import SoftwareProfile

SCHEMAS = (
    "cluster",
    "model",
    "plan",
    "runs",
    "study",
    "device",
    "library",
    "software",
    "engine",
    "load",
    "serving-plan",
)
"""Kinds of files that have a JSON Schema."""

F = TypeVar("F", bound=Callable[..., Any])


class JobKeywords(TypedDict, total=False):
    """How a model is trained. What is left out comes from the plan where there is one, then from
    the model's `training:` block, then from the defaults."""

    global_batch_size: int | None
    """Sequences per step."""
    seq_length: int | None
    """Tokens per sequence."""
    precision: str | None
    """Number format: fp32, tf32, fp16, bf16, fp8, mxfp8 or nvfp4."""
    software: str | Path | SoftwareProfile | None
    """Software profile."""
    optimizer: str | None
    """adam, sgd, lion, muon or adafactor."""
    master_weights: str | None
    """Type of the optimizer's copy of the weights: fp32, fp16, remainders or none."""
    moments: str | Sequence[str] | None
    """Type of the optimizer's moments: fp32, bf16, fp16, fp8 or int8; two where they differ."""
    gradients: str | None
    """Type in which gradients are kept over a step: fp32, bf16 or fp16."""
    packed_lengths: str | Path | Sequence[int] | None
    """Lengths of the sequences that are packed into one of `seq_length`, or a file of them."""
    offload_to: str | None
    """Where an offloaded optimizer is kept: host or nvme."""
    update_stride: int | None
    """Of so many sub-groups of an offloaded optimizer one is updated on the device."""
    offload_modules: str | Sequence[str] | None
    """Modules whose activations may be offloaded, as Megatron-LM names them."""
    recompute_modules: str | Sequence[str] | None
    """Modules that recompute="selective" computes again."""
    resumes: bool | None
    """Whether the job must fit when it is resumed from a checkpoint, as well as when it starts."""
    fp8_param_gather: bool | None
    """Weights are gathered, and kept between steps, in 8 bits."""
    start_whole: bool | None
    """Every device makes the whole model before it is fully sharded."""
    context_heads: int | str | None
    """Context ranks that exchange heads: "all", or a number; a ring is over the others."""
    loss_chunks: int | None
    """Chunks in which output layer and loss take the tokens of a microbatch."""
    allocator: str | None
    """caching, or expandable for segments that grow."""
    uneven_replicas: bool | None
    """Some replicas run one microbatch more than others, which your framework has to be able to."""
    expert_capacity: float | None
    """Tokens that an expert takes at most, over the mean; what exceeds it is dropped."""
    pad_experts: bool | None
    """Experts always get as many tokens as their capacity."""
    expert_imbalance: float | None
    """Tokens of the fullest expert rank over the mean."""
    headroom: float | None
    """Share of device memory that must stay free: 0.05 is 5 %."""
    tokens: int | str | None
    """Of the whole job, such as 15e12 or "15T": the estimate then says how long it takes."""
    nodes: int | None
    """Use the first nodes of the cluster; all of them when neither this nor `devices` is given."""
    devices: int | None
    """Use the first devices, instead of `nodes`."""


class AxisKeywords(TypedDict, total=False):
    """Decisions of a plan: one value each for an estimate, one or several for a search."""

    tensor: int | Iterable[int] | None
    pipeline: int | Iterable[int] | None
    data: int | Iterable[int] | None
    context: int | Iterable[int] | None
    expert: int | Iterable[int] | None
    expert_tensor: int | Iterable[int] | None
    dispatcher: str | Iterable[str] | None
    """What carries tokens to their experts: alltoall, allgather, deepep, hybridep or ncclep."""
    expert_overlap: bool | Iterable[bool] | None
    """Exchanges of experts run beside another microbatch."""
    dispatch_pieces: int | Iterable[int] | None
    """Pieces in which tokens travel to their experts."""
    micro_batch_size: int | Iterable[int] | None
    """Sequences per microbatch."""
    virtual_stages: int | Iterable[int] | None
    """Chunks per pipeline stage."""
    schedule: str | Iterable[str] | None
    recompute: str | Iterable[str] | None
    """none, selective or full."""
    sequence_parallel: bool | Iterable[bool] | None
    data_sharding: str | Iterable[str] | None
    """none, optimizer, optimizer+gradients or full."""
    shard_over: int | str | Iterable[int | str] | None
    """Replicas that share what is sharded: a number, "node" or "all"."""
    optimizer_offload: float | Iterable[float] | None
    """Share of the optimizer in the memory of the hosts."""
    weight_offload: bool | Iterable[bool] | None
    """Whether sharded weights are in the memory of the hosts."""
    activation_offload: float | Iterable[float] | None
    """Share of the activations in the memory of the hosts."""


class LayoutKeywords(TypedDict, total=False):
    """What the stages of one plan hold, and where they run."""

    stage_layers: Sequence[int] | None
    """Layers of every chunk in order."""
    recompute_layers: int | None
    """Layers of every chunk that recompute="full" recomputes; all of them when left out."""
    hosts: str | Path | Sequence[str] | None
    """Host names in rank order, or a file of them."""


class ScriptKeywords(TypedDict, total=False):
    """How a launch script is read."""

    variables: Mapping[str, str] | None
    """Variables that the script leaves to its environment (--set)."""
    command: int | None
    """The training command of a script that has several, from 1."""
    vocab_size: int | None
    """Size of the vocabulary, where only the tokenizer knows it."""


class SearchKeywords(JobKeywords, AxisKeywords):
    """Of `search`."""


class CheckKeywords(JobKeywords, AxisKeywords, ScriptKeywords):
    """Of `check`; decisions are for launch files that leave them open."""


class ImproveKeywords(JobKeywords, ScriptKeywords):
    """Of `improve`."""


class EstimateKeywords(JobKeywords, AxisKeywords, LayoutKeywords, ScriptKeywords):
    """Of `estimate` and `read_launch`."""


def names_of(keywords: type) -> tuple[str, ...]:
    return tuple(keywords.__annotations__)


def takes(keywords: type) -> Callable[[F], F]:
    """For a function whose `**options` are those of a TypedDict: help() and notebooks list them
    one by one, and any other keyword is a TypeError as it is in every call."""

    def listed(function: F) -> F:
        plain = signature(function)
        own = [one for one in plain.parameters.values() if one.kind is not Parameter.VAR_KEYWORD]
        options = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=_text(hint))
            for name, hint in keywords.__annotations__.items()
        ]
        shown = plain.replace(parameters=[*own, *options])

        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            shown.bind(*arguments, **options)
            return function(*arguments, **options)

        call.__signature__ = shown  # type: ignore[attr-defined]
        return cast(F, call)

    return listed


def _text(hint: Any) -> str:
    return getattr(hint, "__forward_arg__", None) or str(hint)
