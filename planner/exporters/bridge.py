"""Megatron-Bridge: Hydra overrides for a recipe (names of commit 067f987d, August 2026).

The overrides are those of the plan's Megatron-LM flags, by the table below; what a flag would leave
at Megatron-LM's default is stated too, because the recipe under the overrides may say otherwise.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from planner.exporters.errors import Inexpressible
from planner.exporters.megatron.arguments import environment, megatron_flags
from planner.exporters.megatron.flags import Flags
from planner.importers.patterns import read_pattern

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob

TARGET = "Megatron-Bridge"
VERSION = "067f987d"

Setting = bool | int | float | str | list[int] | list[str] | None
Overrides = dict[str, Setting]

_VALUES = {
    "--tensor-model-parallel-size": "model.tensor_model_parallel_size",
    "--pipeline-model-parallel-size": "model.pipeline_model_parallel_size",
    "--num-virtual-stages-per-pipeline-rank": "model.virtual_pipeline_model_parallel_size",
    "--pipeline-model-parallel-layout": "model.pipeline_model_parallel_layout",
    "--context-parallel-size": "model.context_parallel_size",
    "--cp-comm-type": "model.cp_comm_type",
    "--hierarchical-context-parallel-sizes": "model.hierarchical_context_parallel_sizes",
    "--expert-model-parallel-size": "model.expert_model_parallel_size",
    "--expert-tensor-parallel-size": "model.expert_tensor_parallel_size",
    "--micro-batch-size": "train.micro_batch_size",
    "--global-batch-size": "train.global_batch_size",
    "--seq-length": "model.seq_length",
    "--num-layers": "model.num_layers",
    "--hidden-size": "model.hidden_size",
    "--ffn-hidden-size": "model.ffn_hidden_size",
    "--num-attention-heads": "model.num_attention_heads",
    "--num-query-groups": "model.num_query_groups",
    "--kv-channels": "model.kv_channels",
    "--softmax-type": "model.softmax_type",
    "--window-size": "model.window_size",
    "--window-attn-skip-freq": "model.window_attn_skip_freq",
    "--q-lora-rank": "model.q_lora_rank",
    "--kv-lora-rank": "model.kv_lora_rank",
    "--qk-head-dim": "model.qk_head_dim",
    "--qk-pos-emb-head-dim": "model.qk_pos_emb_head_dim",
    "--v-head-dim": "model.v_head_dim",
    "--vocab-size": "model.vocab_size",
    "--make-vocab-size-divisible-by": "model.make_vocab_size_divisible_by",
    "--max-position-embeddings": "model.max_position_embeddings",
    "--position-embedding-type": "model.position_embedding_type",
    "--normalization": "model.normalization",
    "--num-experts": "model.num_moe_experts",
    "--moe-router-topk": "model.moe_router_topk",
    "--moe-router-score-function": "model.moe_router_score_function",
    "--moe-router-num-groups": "model.moe_router_num_groups",
    "--moe-router-group-topk": "model.moe_router_group_topk",
    "--moe-ffn-hidden-size": "model.moe_ffn_hidden_size",
    "--moe-shared-expert-intermediate-size": "model.moe_shared_expert_intermediate_size",
    "--moe-layer-freq": "model.moe_layer_freq",
    "--moe-token-dispatcher-type": "model.moe_token_dispatcher_type",
    "--moe-flex-dispatcher-backend": "model.moe_flex_dispatcher_backend",
    "--moe-expert-capacity-factor": "model.moe_expert_capacity_factor",
    "--moe-router-dtype": "model.moe_router_dtype",
    "--mtp-num-layers": "model.mtp_num_layers",
    "--recompute-granularity": "model.recompute_granularity",
    "--recompute-method": "model.recompute_method",
    "--recompute-num-layers": "model.recompute_num_layers",
    "--recompute-modules": "model.recompute_modules",
    "--offload-modules": "model.offload_modules",
    "--activation-offload-fraction": "model.activation_offload_fraction",
    "--num-distributed-optimizer-instances": "ddp.num_distributed_optimizer_instances",
    "--data-parallel-sharding-strategy": "ddp.data_parallel_sharding_strategy",
    "--ckpt-format": "checkpoint.ckpt_format",
    "--optimizer": "optimizer.optimizer",
    "--exp-avg-dtype": "optimizer.exp_avg_dtype",
    "--exp-avg-sq-dtype": "optimizer.exp_avg_sq_dtype",
    "--main-params-dtype": "optimizer.main_params_dtype",
    "--main-grads-dtype": "optimizer.main_grads_dtype",
    "--cpu-offloading-num-layers": "model.cpu_offloading_num_layers",
    "--optimizer-offload-fraction": "optimizer.optimizer_offload_fraction",
    "--attention-backend": "model.attention_backend",
    "--activation-func-clamp-value": "model.activation_func_clamp_value",
    "--hidden-dropout": "model.hidden_dropout",
    "--attention-dropout": "model.attention_dropout",
    "--cross-entropy-fusion-impl": "model.cross_entropy_fusion_impl",
    "--cuda-graph-impl": "model.cuda_graph_impl",
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
        if name in _VALUES:
            overrides[_VALUES[name]] = _setting(name, given)
        elif name not in _SWITCHES and name not in _ELSEWHERE:
            raise Inexpressible(TARGET, name, "no override stands for this flag of Megatron-LM")
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
