"""The software profile as a training command switches it.

A flag that a command leaves out has Megatron-LM's default (`megatron/training/arguments.py`,
`transformer_config.py`, mcore 0.20); constants stay those of the profile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from planner.importers.megatron.decisions import (
    capacity,
    context_heads,
    deepspeed_capacity,
    dispatcher,
    refuse_capacities,
)
from planner.importers.switched import with_choice, with_groups
from planner.specs.software_words import OffloadModule, RecomputeModule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.importers.megatron.flags import Flags
    from planner.importers.megatron.launch import Launch
    from planner.specs.software import SoftwareProfile

_MODULES = get_args(RecomputeModule)
_OFFLOADED = get_args(OffloadModule)
_STATES = ("fp32", "fp16", "bf16", "fp8")
_MASTERS = ("fp32", "fp16")
_GRAPHS = ("none", "local", "transformer_engine", "full_iteration")


def switched(launch: Launch, profile: SoftwareProfile) -> SoftwareProfile:
    """The profile with the command's switches. Switches that it cannot hold are added to the
    launch's notes."""
    refuse_capacities(launch.flags)
    changes: dict[str, Any] = {
        "rank_order": launch.rank_order,
        "dropout": "model" if _has_switches(profile) else profile.dropout,
        "attention": launch.attention or profile.attention,
        "recompute": _recompute(launch, profile),
        "data_sharding": with_choice(profile.data_sharding, launch.data_sharding),
    }
    if launch.optimizer_shards > 1:
        changes["data_sharding"] = with_groups(changes["data_sharding"], launch.data_sharding)
    if launch.optimizer_offload or launch.offload_modules:
        changes["offload"] = _offload(launch, profile)
    if _has_switches(profile):
        changes |= _switches(launch, profile)
    else:
        changes |= _capacity(launch, profile)
        _note_ignored(launch, profile)
    return profile.model_copy(update=changes)


def _offload(launch: Launch, profile: SoftwareProfile) -> Any:
    """What a command with an optimizer, or with activations of modules, on the host needs of a
    profile (arguments.py). Modules that are no operators here stay on the device."""
    sharding, offload = launch.data_sharding, profile.offload
    known = tuple(module for module in launch.offload_modules if module in _OFFLOADED)
    if launch.offload_modules:
        offload = offload.of_modules(known)
        _note_kept(launch, "--offload-modules", known, "offloaded")
    if not launch.optimizer_offload:
        return offload
    return offload.model_copy(
        update={
            "optimizer": tuple(dict.fromkeys((*offload.optimizer, sharding))),
            "optimizer_share": tuple(dict.fromkeys((*offload.optimizer_share, sharding))),
            "remainders": True,
            "overlap": launch.flags.given("--overlap-cpu-optimizer-d2h-h2d"),
        }
    )


def _has_switches(profile: SoftwareProfile) -> bool:
    """Profiles of Megatron Core have the switches of its flags; those of older versions are
    fixed.
    """
    return profile.framework == "megatron-lm" and bool(profile.overlap_choices)


def _note_ignored(launch: Launch, profile: SoftwareProfile) -> None:
    asked = [name for name in launch.overlap if name != "pipeline"]
    if asked:
        launch.notes.left_out.append(
            f"overlap of {', '.join(asked)}: software profile {profile.name} has none"
        )


def _capacity(launch: Launch, profile: SoftwareProfile) -> dict[str, Any]:
    """Of a profile whose experts are padded to their capacity, that of the command."""
    if not profile.expert.padded:
        return {}
    return {"expert": profile.expert.model_copy(update=deepspeed_capacity(launch.flags))}


def _recompute(launch: Launch, profile: SoftwareProfile) -> Any:
    switch = with_choice(profile.recompute, launch.recompute)
    if launch.recompute != "selective":
        return switch
    asked = launch.recompute_modules or ("core_attn",)
    modules = tuple(module for module in asked if module in _MODULES)
    _note_kept(launch, "--recompute-modules", modules, "recomputed")
    return switch.model_copy(update={"selective_modules": modules})


def _note_kept(launch: Launch, flag: str, known: tuple[str, ...], done: str) -> None:
    unknown = [module for module in launch.flags.words(flag) or () if module not in known]
    if unknown:
        launch.notes.left_out.append(
            f"{flag} {', '.join(unknown)}: kept in memory here, not {done}"
        )


def _switches(launch: Launch, profile: SoftwareProfile) -> dict[str, Any]:
    flags = launch.flags
    gated = bool(launch.model.get("gated_mlp"))
    activation = "--no-bias-swiglu-fusion" if gated else "--no-bias-gelu-fusion"
    # Its fusion is of GELU; squared ReLU has a kernel of its own (megatron/core/activations.py).
    own_activation = flags.given("--squared-relu")
    own_kernels = flags.given("--cross-entropy-loss-fusion")
    native = own_kernels and flags.text("--cross-entropy-fusion-impl") != "te"
    fused = {
        "softmax": not flags.given("--no-masked-softmax-fusion"),
        "bias_activation": own_activation or not flags.given(activation),
        "bias_dropout_add": not flags.given("--no-bias-dropout-fusion"),
        "rotary": not flags.given("--no-rope-fusion"),
        "cross_entropy": own_kernels,
        "loss_in_place": profile.fused.loss_in_place and own_kernels and not native,
        "fused_loss_copies": int(native),
        "gradient_accumulation": not flags.given("--no-gradient-accumulation-fusion"),
    }
    gather = flags.given("--fp8-param-gather") or flags.given("--fp4-param-gather")
    return {
        "overlap": _overlap(launch, profile),
        "fused": profile.fused.model_copy(update=fused),
        "fp8": profile.fp8.model_copy(update={"parameter_gather": gather}),
        "cuda_graphs": _cuda_graphs(flags),
        "expert": profile.expert.model_copy(update=_experts(launch)),
        "full_sharding": profile.full_sharding.model_copy(
            update={
                "starts_whole": launch.data_sharding == "full"
                and not flags.given("--init-model-with-meta-device")
            }
        ),
        **context_heads(flags),
        **_gradients(launch),
        **_optimizer_states(launch),
        **({} if launch.allocator is None else {"allocator": launch.allocator}),
    }


def _overlap(launch: Launch, profile: SoftwareProfile) -> tuple[str, ...]:
    """Interleaved schedules overlap their sends unless told not to. This holds whatever this
    command's schedule is, so that another plan with other degrees is priced alike."""
    on = {*launch.overlap, "pipeline"}
    if launch.flags.given("--no-overlap-p2p-communication"):
        on.discard("pipeline")
    return tuple(name for name in profile.overlap_choices if name in on)


def _cuda_graphs(flags: Flags) -> bool:
    implementation = flags.choice("--cuda-graph-impl", _GRAPHS) or "none"
    old = flags.given("--enable-cuda-graph") or flags.given("--external-cuda-graph")
    return implementation != "none" or old


def _experts(launch: Launch) -> Mapping[str, Any]:
    if "moe" not in launch.model:
        return {}
    flags = launch.flags
    return {
        "dispatcher": dispatcher(flags),
        "deduplicated": False,
        "grouped_matmul": flags.given("--moe-grouped-gemm"),
        **capacity(flags),
        "fused_permutation": flags.given("--moe-permute-fusion"),
        "fp32_probabilities": flags.text("--moe-router-dtype") in ("fp32", "fp64"),
    }


def _gradients(launch: Launch) -> Mapping[str, Any]:
    """Gradients are kept and reduced in one type. With bf16 it is fp32 unless a flag says
    otherwise; with fp16 it is fp16 unless a flag says otherwise (arguments.py). With fp32 it is
    always fp32."""
    if launch.training["precision"] == "fp32":
        return {}
    halved = not launch.flags.given("--accumulate-allreduce-grads-in-fp32")
    if launch.training["precision"] == "fp16" and halved:
        return {"fp16_gradients": True}
    kind = launch.gradient_reduce_dtype or "fp32"
    return {"gradient_dtype": kind, "gradient_reduce_dtype": kind, "fp16_gradients": halved}


def _optimizer_states(launch: Launch) -> Mapping[str, Any]:
    """Each moment may have its own type. The optimizer keeps the half of a master weight that its
    bf16 weight lacks (`optimizer_config.py`, `store_param_remainders`)."""
    flags = launch.flags
    if not flags.given("--use-precision-aware-optimizer"):
        return {"optimizer_state_dtype": "fp32"}
    first, second = (
        flags.choice(f"--exp-avg{square}-dtype", _STATES) or "fp32" for square in ("", "-sq")
    )
    master = flags.choice("--main-params-dtype", _MASTERS) or "fp32"
    return {
        "optimizer_state_dtype": first,
        "second_moment_dtype": None if second == first else second,
        "master_weight_dtype": "remainders" if master == "fp32" else master,
    }
