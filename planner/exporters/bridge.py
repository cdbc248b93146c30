"""Megatron-Bridge: Hydra overrides for a recipe (names of commit 067f987d, August 2026).

The overrides are those of the plan's Megatron-LM flags, by its reader's table and those below; what
a flag would leave at Megatron-LM's default is stated too, because the recipe under the overrides
may say otherwise.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from planner.exporters.errors import Inexpressible
from planner.exporters.megatron.arguments import environment, megatron_flags
from planner.exporters.megatron.flags import Flags
from planner.importers.megatron.bridge_fields import FIELD_OF
from planner.importers.patterns import read_pattern

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob

TARGET = "Megatron-Bridge"
VERSION = "067f987d"

Setting = bool | int | float | str | list[int] | list[str] | None
Overrides = dict[str, Setting]

_VALUES = FIELD_OF | {
    "--ckpt-format": "checkpoint.ckpt_format",
    "--cuda-graph-modules": "model.cuda_graph_modules",
}
_SWITCHES: dict[str, tuple[tuple[str, ...], bool]] = {
    "--sequence-parallel": (("model.sequence_parallel",), True),
    "--use-tp-pp-dp-mapping": (("dist.use_tp_pp_dp_mapping",), True),
    "--qk-layernorm": (("model.qk_layernorm",), True),
    "--multi-latent-attention": (("model.multi_latent_attention",), True),
    "--swiglu": (("model.gated_linear_unit",), True),
    "--disable-bias-linear": (("model.add_bias_linear",), False),
    "--add-qkv-bias": (("model.add_qkv_bias",), True),
    "--untie-embeddings-and-output-weights": (
        ("model.share_embeddings_and_output_weights",),
        False,
    ),
    "--moe-router-pre-softmax": (("model.moe_router_pre_softmax",), True),
    "--moe-router-enable-expert-bias": (("model.moe_router_enable_expert_bias",), True),
    "--moe-shared-expert-gate": (("model.moe_shared_expert_gate",), True),
    "--moe-grouped-gemm": (("model.moe_grouped_gemm",), True),
    "--overlap-moe-expert-parallel-comm": (("model.overlap_moe_expert_parallel_comm",), True),
    "--moe-shared-expert-overlap": (("model.moe_shared_expert_overlap",), True),
    "--moe-pad-expert-input-to-capacity": (("model.moe_pad_expert_input_to_capacity",), True),
    "--moe-permute-fusion": (("model.moe_permute_fusion",), True),
    "--use-distributed-optimizer": (
        ("ddp.use_distributed_optimizer", "optimizer.use_distributed_optimizer"),
        True,
    ),
    "--use-megatron-fsdp": (("dist.use_megatron_fsdp", "ddp.use_megatron_fsdp"), True),
    "--use-precision-aware-optimizer": (("optimizer.use_precision_aware_optimizer",), True),
    "--cpu-offloading": (("model.cpu_offloading",), True),
    "--fine-grained-activation-offloading": (("model.fine_grained_activation_offloading",), True),
    "--optimizer-cpu-offload": (("optimizer.optimizer_cpu_offload",), True),
    "--overlap-cpu-optimizer-d2h-h2d": (("optimizer.overlap_cpu_optimizer_d2h_h2d",), True),
    "--overlap-grad-reduce": (("ddp.overlap_grad_reduce",), True),
    "--overlap-param-gather": (("ddp.overlap_param_gather",), True),
    "--no-masked-softmax-fusion": (("model.masked_softmax_fusion",), False),
    "--no-bias-dropout-fusion": (("model.bias_dropout_fusion",), False),
    "--no-gradient-accumulation-fusion": (("model.gradient_accumulation_fusion",), False),
    "--cross-entropy-loss-fusion": (("model.cross_entropy_loss_fusion",), True),
    "--te-rng-tracker": (("rng.te_rng_tracker", "model.use_te_rng_tracker"), True),
}
"""Fields of a switch, and their value when it is given; without it they have the other."""

_ELSEWHERE = {
    "--group-query-attention",
    "--squared-relu",
    "--no-rope-fusion",
    "--no-bias-swiglu-fusion",
    "--no-bias-gelu-fusion",
    "--no-overlap-p2p-communication",
    "--tp-comm-overlap",
    "--no-check-for-nan-in-loss-and-grad",
    "--bf16",
    "--fp16",
    "--fp8-format",
    "--fp8-recipe",
    "--fp8-param-gather",
    "--fp4-format",
    "--fp4-recipe",
    "--fp4-param-gather",
    "--reuse-grad-buf-for-mxfp8-param-ag",
    "--accumulate-allreduce-grads-in-fp32",
    "--grad-reduce-in-bf16",
    "--init-model-with-meta-device",
}
"""Flags that several fields, or none, stand for; see the functions below."""

_RESET: Overrides = {
    "model.virtual_pipeline_model_parallel_size": None,
    "model.pipeline_model_parallel_layout": None,
    "model.num_layers_in_first_pipeline_stage": None,
    "model.num_layers_in_last_pipeline_stage": None,
    "model.account_for_embedding_in_pipeline_split": False,
    "model.account_for_loss_in_pipeline_split": False,
    "model.recompute_granularity": None,
    "model.recompute_method": None,
    "model.recompute_num_layers": None,
    "model.recompute_modules": None,
    "model.offload_modules": None,
    "model.cuda_graph_impl": "none",
    "model.mtp_num_layers": None,
    "model.window_size": None,
    "model.window_attn_skip_freq": None,
    "model.softmax_type": "vanilla",
    "ddp.num_distributed_optimizer_instances": 1,
    "ddp.data_parallel_sharding_strategy": "no_shard",
}
"""What a recipe may set and a plan without it must take back."""

_MIXTURE = (
    "model.moe_",
    "model.expert_",
    "model.num_moe_experts",
    "model.overlap_moe_",
    "comm_overlap.overlap_moe_",
    "comm_overlap.delay_wgrad_",
)


def bridge_overrides(job: ExportJob) -> Overrides:
    """Every override of the plan, fields in the order of the tables.

    Raises: Inexpressible, naming the field.
    """
    flags = megatron_flags(job)
    overrides: Overrides = dict(_RESET)
    for name, given in flags.items():
        if name in _SWITCHES or name in _ELSEWHERE:
            continue
        if name not in _VALUES:
            raise Inexpressible(TARGET, name, "no override stands for this flag of Megatron-LM")
        overrides[_VALUES[name]] = _setting(name, given)
    for name, (fields, on) in _SWITCHES.items():
        overrides |= dict.fromkeys(fields, on if name in flags else not on)
    if "--init-model-with-meta-device" in flags:
        overrides["model.init_model_with_meta_device"] = True
    overrides |= _model_fields(job, flags)
    overrides |= _overlap(job, flags)
    overrides |= _precision(job, flags)
    if job.model.moe is None:
        overrides = {k: v for k, v in overrides.items() if not k.startswith(_MIXTURE)}
    return overrides


def _setting(name: str, given: tuple[str, ...]) -> Setting:
    text = given[0]
    if name == "--moe-layer-freq":
        pattern = read_pattern(text)
        return list(pattern) if pattern else text
    if name == "--hierarchical-context-parallel-sizes":
        return [int(part) for part in given]
    if name == "--window-size":
        return [int(part) for part in text.split(",")]
    if name in ("--recompute-modules", "--offload-modules", "--cuda-graph-modules"):
        return list(given)
    if text.isdigit():
        return int(text)
    return float(text) if name.endswith(("-dropout", "-clamp-value", "-fraction")) else text


def _model_fields(job: ExportJob, flags: Flags) -> Overrides:
    rope = job.model.position_embedding == "rope"
    unfused = "--no-bias-swiglu-fusion" in flags or "--no-bias-gelu-fusion" in flags
    groups: Overrides = (
        {} if job.model.mla else {"model.num_query_groups": job.model.num_query_groups}
    )
    return {
        **groups,
        "dataset.seq_length": job.job.seq_length,
        "model.activation_func": job.model.activation,
        "model.bias_activation_fusion": not unfused,
        "model.apply_rope_fusion": rope and "--no-rope-fusion" not in flags,
        "model.should_pad_vocab": True,
    }


def _overlap(job: ExportJob, flags: Flags) -> Overrides:
    """A recipe's `comm_overlap` decides over the fields of `ddp` and `model`, so that it is taken
    away, or says the same."""
    sends = job.plan.virtual_stages > 1 and "--no-overlap-p2p-communication" not in flags
    overrides: Overrides = {
        "model.overlap_p2p_comm": sends,
        "model.batch_p2p_comm": not sends,
    }
    if "--no-check-for-nan-in-loss-and-grad" in flags:
        overrides |= {
            "ddp.check_for_nan_in_grad": False,
            "rerun_state_machine.check_for_nan_in_loss": False,
        }
    if "--tp-comm-overlap" not in flags:
        return overrides | {"comm_overlap": None}
    return {
        **overrides,
        "comm_overlap.tp_comm_overlap": True,
        "comm_overlap.overlap_p2p_comm": sends,
        "comm_overlap.batch_p2p_comm": not sends,
        "comm_overlap.overlap_grad_reduce": "--overlap-grad-reduce" in flags,
        "comm_overlap.overlap_param_gather": "--overlap-param-gather" in flags,
        "comm_overlap.overlap_moe_expert_parallel_comm": job.plan.expert_overlap,
        "comm_overlap.delay_wgrad_compute": False,
    }


def _precision(job: ExportJob, flags: Flags) -> Overrides:
    """A named recipe of `mixed_precision` where one says exactly this; else its fields, which need
    a recipe that holds a `MixedPrecisionConfig`."""
    precision = job.job.precision
    fp32_gradients = "--accumulate-allreduce-grads-in-fp32" in flags
    gradients: Overrides = {"ddp.grad_reduce_in_fp32": fp32_gradients or precision == "fp32"}
    if precision == "fp32":
        return gradients | {"mixed_precision": None}
    if precision == "bf16" and fp32_gradients:
        return gradients | {"mixed_precision": "bf16_mixed"}
    if precision == "fp16" and not fp32_gradients:
        return gradients | {"mixed_precision": "fp16_mixed"}
    gather = "--fp8-param-gather" in flags
    fields: Overrides = {
        "bf16": "--bf16" in flags,
        "fp16": "--fp16" in flags,
        "grad_reduce_in_fp32": fp32_gradients,
        "fp8": flags.get("--fp8-format", (None,))[0],
        "fp4": flags.get("--fp4-format", (None,))[0],
        "fp8_param_gather": gather,
        "reuse_grad_buf_for_mxfp8_param_ag": gather and precision == "mxfp8",
        "first_last_layers_bf16": False,
    }
    if "--fp8-recipe" in flags:
        fields["fp8_recipe"] = flags["--fp8-recipe"][0]
    if "--fp4-param-gather" in flags:
        raise Inexpressible(TARGET, "software.fp8.parameter_gather", "not with 4-bit formats")
    return gradients | {f"mixed_precision.{name}": value for name, value in fields.items()}


def as_overrides(job: ExportJob) -> str:
    """To paste after a Bridge training script: an override per line, continued with
    backslashes."""
    lines = [shlex.quote(f"{key}={_hydra(value)}") for key, value in bridge_overrides(job).items()]
    exports = [f"# export {name}={value}" for name, value in environment(job).items()]
    head = f"# {TARGET} ({VERSION}), {job.title}"
    return "\n".join([head, *exports, " \\\n".join(lines)]) + "\n"


def _hydra(value: Setting) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    if isinstance(value, str) and not value.replace("_", "").isalnum():
        return f'"{value}"'
    return str(value)
