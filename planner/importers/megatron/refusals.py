"""Combinations of flags that Megatron-LM refuses and that no decision of a plan expresses.

`megatron/training/arguments.py` (validate_args), `core/transformer/transformer_config.py`
(__post_init__) and `core/transformer/moe/moe_layer.py` of mcore 0.20. Rules about flags alone, and
what is not modelled, are in `refusals.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from planner.errors import RuleError
from planner.importers.megatron.flag_rules import flag_rules
from planner.importers.megatron.mixture import is_deepspeed
from planner.training.search.plans.problems import PlanProblem

if TYPE_CHECKING:
    from planner.importers.megatron.launch import Launch

FLAGS = "flags"
"""Name of the problem that flags exclude each other, or need each other."""

Refusal = tuple[str, str, str]
"""A rule's name, the flag at fault, and what is wrong with it."""


def flag_problems(launch: Launch) -> Iterator[PlanProblem]:
    """Every flag at which Megatron-LM would stop. Its forks, which DeepSpeed launches, have rules
    of their own and are not checked."""
    if launch.flags.given("--deepspeed"):
        return
    for rule, flag, message in _refusals(launch):
        name = "layers" if rule == "layers" else FLAGS
        yield PlanProblem(name=name, field=flag, error=RuleError(rule, f"{flag}: {message}"))


def _refusals(launch: Launch) -> Iterator[Refusal]:
    yield from _lengths(launch)
    yield from _alone(launch)
    yield from _overlap(launch)
    yield from _stages(launch)
    yield from _recompute(launch)
    yield from _sharding(launch)
    yield from _experts(launch)
    yield from _expert_overlap(launch)
    yield from _offloaded_layers(launch)


def _lengths(launch: Launch) -> Iterator[Refusal]:
    flags = launch.flags
    longest, length = flags.integer("--max-position-embeddings"), launch.seq_length
    if longest is not None and length is not None and longest < length:
        yield "posemb", "--max-position-embeddings", f"{longest} is below --seq-length {length}"


def _alone(launch: Launch) -> Iterator[Refusal]:
    for rule in flag_rules():
        for flag, message in rule.broken(launch.flags):
            yield "flags", flag, message


def _overlap(launch: Launch) -> Iterator[Refusal]:
    """Megatron-LM switches sequence parallelism off by itself where the tensor degree is 1."""
    overlap = "--tp-comm-overlap"
    if launch.flags.given(overlap) and not (launch.sequence_parallel and launch.tensor > 1):
        yield "overlap", overlap, "needs --sequence-parallel and a tensor degree above 1"


def _stages(launch: Launch) -> Iterator[Refusal]:
    """Without a layout or uneven end stages, all chunks hold the same number of layers."""
    chunks, layers = launch.pipeline * launch.virtual_stages, launch.model["num_layers"]
    if launch.stage_layers is None and layers % chunks:
        yield (
            "layers",
            "--num-layers",
            f"{layers} layers are not {chunks} equal chunks; spell them out with "
            "--pipeline-model-parallel-layout",
        )


def _recompute(launch: Launch) -> Iterator[Refusal]:
    flags = launch.flags
    method, count = "--recompute-method", "--recompute-num-layers"
    if launch.recompute == "full" and flags.given("--recompute-granularity"):
        for needed in (method, count):
            if not flags.given(needed):
                yield "recompute", "--recompute-granularity", f"full needs {needed}"
        implementation = flags.text("--cuda-graph-impl") or "none"
        if implementation not in ("none", "full_iteration"):
            yield (
                "graphs",
                "--cuda-graph-impl",
                f"{implementation}, with full recomputation; that needs full_iteration",
            )
    elif launch.recompute == "selective":
        for excluded in (method, count):
            if flags.given(excluded):
                yield "recompute", excluded, "is for full recomputation, not for selective"
    saved = "--distribute-saved-activations"
    possible = launch.tensor > 1 and launch.recompute == "full" and not launch.sequence_parallel
    if flags.given(saved) and not possible:
        yield (
            "recompute",
            saved,
            "needs a tensor degree above 1, full recomputation and no sequence parallelism",
        )


def _sharding(launch: Launch) -> Iterator[Refusal]:
    flags = launch.flags
    gather = "--overlap-param-gather"
    if flags.given(gather):
        if launch.data_sharding == "none":
            yield "overlap", gather, "needs --use-distributed-optimizer"
        elif not flags.given("--overlap-grad-reduce") and not flags.given("--use-torch-fsdp2"):
            yield "overlap", gather, "needs --overlap-grad-reduce"
    precise = "--use-precision-aware-optimizer"
    if flags.given(precise) and launch.data_sharding == "none":
        yield "offload", precise, "needs --use-distributed-optimizer"
    instances = "--num-distributed-optimizer-instances"
    replicas = None if launch.data is None else launch.data * launch.context
    if launch.optimizer_shards > 1 and replicas and replicas % launch.optimizer_shards:
        yield (
            "instances",
            instances,
            f"{launch.optimizer_shards} must divide data · context, {replicas}",
        )
    fsdp = "--use-torch-fsdp2"
    if flags.given(fsdp):
        for excluded, holds in (
            ("a pipeline", launch.pipeline > 1),
            ("expert parallelism", launch.expert > 1),
            ("--use-distributed-optimizer", flags.given("--use-distributed-optimizer")),
            ("tied embeddings", bool(launch.model.get("tie_embeddings"))),
            ("--fp16", flags.given("--fp16")),
        ):
            if holds:
                yield "fsdp2", fsdp, f"and {excluded} exclude each other"
    if flags.given("--use-megatron-fsdp") and launch.rank_order.endswith("dp"):
        yield "order", "--use-tp-pp-dp-mapping", "and --use-megatron-fsdp exclude each other"


def _experts(launch: Launch) -> Iterator[Refusal]:
    core = not is_deepspeed(launch.flags)
    if core and "moe" in launch.model and launch.tensor > 1 and not launch.sequence_parallel:
        yield (
            "sp",
            "--tensor-model-parallel-size",
            "experts train with tensor parallelism under --sequence-parallel only",
        )


def _expert_overlap(launch: Launch) -> Iterator[Refusal]:
    flag = "--overlap-moe-expert-parallel-comm"
    if not launch.flags.given(flag):
        return
    if launch.expert == 1:
        yield "overlap", flag, "needs an expert degree above 1"
    if launch.pipeline > 1 and launch.virtual_stages == 1:
        yield "overlap", flag, "needs virtual stages where there is a pipeline"
    if (launch.flags.integer("--mtp-num-layers", least=0) or 0) > 1:
        yield "overlap", flag, "takes one layer of --mtp-num-layers at most"


def _offloaded_layers(launch: Launch) -> Iterator[Refusal]:
    """`--cpu-offloading-num-layers` above 0 switches offloading on by itself."""
    flag, flags = "--cpu-offloading-num-layers", launch.flags
    count = flags.integer(flag, least=0) or 0
    if not count:
        return
    layers = launch.model["num_layers"]
    if count >= layers:
        yield "offload", flag, f"{count} is not below the {layers} layers of the model"
    if launch.pipeline > 1:
        yield "offload", flag, "and a pipeline exclude each other"
    if launch.recompute != "none":
        yield "offload", flag, "and recomputation exclude each other"
