"""Options for the decisions of a plan: of one, of its stages, and of all in a search."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from planner.cli.options import option


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """The decisions of one plan."""

    TITLE: ClassVar[str] = "Plan"

    tensor: Annotated[str | None, option("N", "Tensor degree (TP).")] = None
    pipeline: Annotated[str | None, option("N", "Pipeline degree (PP).")] = None
    data: Annotated[
        str | None, option("N", "Data degree (DP). [default: what the others leave]")
    ] = None
    context: Annotated[str | None, option("N", "Context degree (CP).")] = None
    expert: Annotated[str | None, option("N", "Expert degree (EP).")] = None
    expert_tensor: Annotated[str | None, option("N", "Tensor degree inside experts (ETP).")] = None
    dispatcher: Annotated[
        str | None,
        option("NAME", "What carries tokens: alltoall, allgather, deepep, hybridep or ncclep."),
    ] = None
    expert_overlap: Annotated[
        str | None, option("on|off", "Exchanges of experts beside another microbatch.")
    ] = None
    dispatch_pieces: Annotated[
        str | None, option("N", "Pieces in which tokens travel to their experts.")
    ] = None
    micro_batch_size: Annotated[str | None, option("N", "Sequences per microbatch.")] = None
    virtual_stages: Annotated[str | None, option("N", "Chunks per pipeline stage (VPP).")] = None
    schedule: Annotated[
        str | None, option("NAME", "Pipeline schedule, such as 1f1b or interleaved.")
    ] = None
    recompute: Annotated[
        str | None, option("NAME", "What is recomputed: none, selective or full.")
    ] = None
    sequence_parallel: Annotated[str | None, option("on|off", "Sequence parallelism (SP).")] = None
    data_sharding: Annotated[
        str | None,
        option(
            "NAME",
            "What replicas share: none, optimizer (ZeRO-1), optimizer+gradients (ZeRO-2), full "
            "(ZeRO-3, FSDP).",
        ),
    ] = None
    shard_over: Annotated[
        str | None,
        option("node|N", "Replicas that share what is sharded. [default: all of them]"),
    ] = None
    optimizer_offload: Annotated[
        str | None, option("SHARE", "Share of the optimizer in host memory, such as 0.5.")
    ] = None
    weight_offload: Annotated[str | None, option("on|off", "Sharded weights in host memory.")] = (
        None
    )
    activation_offload: Annotated[
        str | None, option("SHARE", "Share of the activations in host memory.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutOptions:
    """What the stages of one plan hold, and where they run."""

    TITLE: ClassVar[str] = "Stages and hosts"

    stage_layers: Annotated[
        str | None, option("N,...", "Layers of every chunk in order, such as 12,12,11.")
    ] = None
    recompute_layers: Annotated[
        str | None,
        option("N", "Layers of every chunk that --recompute full recomputes. [default: all]"),
    ] = None
    hosts: Annotated[str | None, option("FILE", "Host names in rank order, one per line.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestrictOptions:
    """Comma lists of the plan's decisions that narrow a search."""

    TITLE: ClassVar[str] = "Restricting the search (comma lists)"

    tensor: Annotated[str | None, option("N,...", "Tensor degrees (TP).")] = None
    pipeline: Annotated[str | None, option("N,...", "Pipeline degrees (PP).")] = None
    data: Annotated[str | None, option("N,...", "Data degrees (DP).")] = None
    context: Annotated[str | None, option("N,...", "Context degrees (CP).")] = None
    expert: Annotated[str | None, option("N,...", "Expert degrees (EP).")] = None
    expert_tensor: Annotated[
        str | None, option("N,...", "Tensor degrees inside experts (ETP).")
    ] = None
    dispatcher: Annotated[
        str | None,
        option("NAME,...", "What carries tokens: alltoall, allgather, deepep, hybridep, ncclep."),
    ] = None
    expert_overlap: Annotated[
        str | None, option("on|off", "Exchanges of experts beside another microbatch.")
    ] = None
    dispatch_pieces: Annotated[
        str | None, option("N,...", "Pieces in which tokens travel to their experts.")
    ] = None
    micro_batch_size: Annotated[str | None, option("N,...", "Sequences per microbatch.")] = None
    virtual_stages: Annotated[str | None, option("N,...", "Chunks per pipeline stage (VPP).")] = (
        None
    )
    schedule: Annotated[
        str | None, option("NAME,...", "Pipeline schedules, such as 1f1b,interleaved.")
    ] = None
    recompute: Annotated[
        str | None, option("NAME,...", "What is recomputed: none, selective, full.")
    ] = None
    sequence_parallel: Annotated[str | None, option("on|off", "Sequence parallelism (SP).")] = None
    data_sharding: Annotated[
        str | None,
        option(
            "NAME,...",
            "What replicas share: none, optimizer (ZeRO-1), optimizer+gradients (ZeRO-2), full "
            "(ZeRO-3, FSDP).",
        ),
    ] = None
    shard_over: Annotated[
        str | None,
        option("node|N,...", "Replicas that share what is sharded: all, node, numbers."),
    ] = None
    optimizer_offload: Annotated[
        str | None,
        option(
            "SHARE,...",
            "Shares of the optimizer in host memory, such as 0,0.5,1. [default: 0, or more where "
            "nothing else fits]",
        ),
    ] = None
    weight_offload: Annotated[
        str | None, option("on|off", "Sharded weights in host memory. [default: as the optimizer]")
    ] = None
    activation_offload: Annotated[
        str | None,
        option(
            "SHARE,...",
            "Shares of the activations in host memory, instead of single modules that the search "
            "chooses. [default: 0 and such modules]",
        ),
    ] = None
