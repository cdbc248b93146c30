"""Override lists of Megatron-Bridge: `model.num_layers=32 train.global_batch_size=128`.

Keys are the fields of its `ConfigContainer`; what differs from Megatron-LM's flags is in
`scripts/translate_mlm_to_bridge.py` (Megatron-Bridge 067f987d, August 2026).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from planner.errors import InputError
from planner.importers.megatron.command import CommandWord, Flag, mentions_training
from planner.importers.megatron.flags import Flags
from planner.importers.megatron.launch import Launch, launch_of
from planner.importers.notes import Notes, listed
from planner.importers.shell.run import follow
from planner.importers.shell.text import Origin, is_known, plain, script_of_file
from planner.importers.source import Source

_GROUPS = (
    "model train optimizer ddp dist scheduler dataset logger tokenizer checkpoint rng validation "
    "profiling peft comm_overlap mixed_precision"
)
_OVERRIDE = re.compile(
    rf"[+~]{{0,2}}((?:{_GROUPS.replace(' ', '|')})(?:\.[A-Za-z_][A-Za-z0-9_.]*)?)=(.*)", re.DOTALL
)
_PRECISION = re.compile(r"(?:^|\s)mixed_precision=['\"]?([A-Za-z0-9_]+)")
_LOOSE = re.compile(r"(?<!\S)([^\s=]+)=(\"[^\"]*\"|'[^']*'|\S*)")

_VALUES = {
    "model.num_layers": "--num-layers",
    "model.hidden_size": "--hidden-size",
    "model.ffn_hidden_size": "--ffn-hidden-size",
    "model.num_attention_heads": "--num-attention-heads",
    "model.num_query_groups": "--num-query-groups",
    "model.kv_channels": "--kv-channels",
    "model.vocab_size": "--vocab-size",
    "model.make_vocab_size_divisible_by": "--make-vocab-size-divisible-by",
    "model.seq_length": "--seq-length",
    "dataset.seq_length": "--seq-length",
    "dataset.sequence_length": "--seq-length",
    "model.max_position_embeddings": "--max-position-embeddings",
    "model.position_embedding_type": "--position-embedding-type",
    "model.normalization": "--normalization",
    "model.num_moe_experts": "--num-experts",
    "model.moe_router_topk": "--moe-router-topk",
    "model.moe_router_score_function": "--moe-router-score-function",
    "model.moe_router_num_groups": "--moe-router-num-groups",
    "model.moe_router_group_topk": "--moe-router-group-topk",
    "model.moe_ffn_hidden_size": "--moe-ffn-hidden-size",
    "model.moe_token_dispatcher_type": "--moe-token-dispatcher-type",
    "model.moe_flex_dispatcher_backend": "--moe-flex-dispatcher-backend",
    "model.moe_router_dtype": "--moe-router-dtype",
    "model.moe_shared_expert_intermediate_size": "--moe-shared-expert-intermediate-size",
    "model.moe_layer_freq": "--moe-layer-freq",
    "model.q_lora_rank": "--q-lora-rank",
    "model.kv_lora_rank": "--kv-lora-rank",
    "model.qk_head_dim": "--qk-head-dim",
    "model.qk_pos_emb_head_dim": "--qk-pos-emb-head-dim",
    "model.v_head_dim": "--v-head-dim",
    "model.mtp_num_layers": "--mtp-num-layers",
    "model.softmax_type": "--softmax-type",
    "model.activation_func_clamp_value": "--activation-func-clamp-value",
    "model.hidden_dropout": "--hidden-dropout",
    "model.attention_dropout": "--attention-dropout",
    "model.window_size": "--window-size",
    "model.window_attn_skip_freq": "--window-attn-skip-freq",
    "model.attention_backend": "--attention-backend",
    "model.tensor_model_parallel_size": "--tensor-model-parallel-size",
    "model.pipeline_model_parallel_size": "--pipeline-model-parallel-size",
    "model.context_parallel_size": "--context-parallel-size",
    "model.cp_comm_type": "--cp-comm-type",
    "model.hierarchical_context_parallel_sizes": "--hierarchical-context-parallel-sizes",
    "model.expert_model_parallel_size": "--expert-model-parallel-size",
    "model.expert_tensor_parallel_size": "--expert-tensor-parallel-size",
    "model.virtual_pipeline_model_parallel_size": "--num-virtual-stages-per-pipeline-rank",
    "model.num_layers_in_first_pipeline_stage": "--decoder-first-pipeline-num-layers",
    "model.num_layers_in_last_pipeline_stage": "--decoder-last-pipeline-num-layers",
    "model.pipeline_model_parallel_layout": "--pipeline-model-parallel-layout",
    "model.recompute_granularity": "--recompute-granularity",
    "model.recompute_method": "--recompute-method",
    "model.recompute_num_layers": "--recompute-num-layers",
    "model.recompute_modules": "--recompute-modules",
    "model.offload_modules": "--offload-modules",
    "model.activation_offload_fraction": "--activation-offload-fraction",
    "train.micro_batch_size": "--micro-batch-size",
    "train.global_batch_size": "--global-batch-size",
    "optimizer.optimizer": "--optimizer",
    "model.moe_expert_capacity_factor": "--moe-expert-capacity-factor",
    "optimizer.exp_avg_dtype": "--exp-avg-dtype",
    "optimizer.exp_avg_sq_dtype": "--exp-avg-sq-dtype",
    "optimizer.main_params_dtype": "--main-params-dtype",
    "optimizer.main_grads_dtype": "--main-grads-dtype",
    "ddp.data_parallel_sharding_strategy": "--data-parallel-sharding-strategy",
    "ddp.num_distributed_optimizer_instances": "--num-distributed-optimizer-instances",
    "model.cpu_offloading_num_layers": "--cpu-offloading-num-layers",
    "optimizer.optimizer_offload_fraction": "--optimizer-offload-fraction",
    "model.cuda_graph_impl": "--cuda-graph-impl",
    "model.cross_entropy_fusion_impl": "--cross-entropy-fusion-impl",
    "mixed_precision.fp8": "--fp8-format",
    "mixed_precision.fp8_recipe": "--fp8-recipe",
    "mixed_precision.fp4": "--fp4-format",
    "tokenizer.tokenizer_type": "--tokenizer-type",
    "tokenizer.tokenizer_model": "--tokenizer-model",
    "tokenizer.vocab_size": "--vocab-size",
}
_SWITCHES = {
    "model.add_qkv_bias": ("--add-qkv-bias", True),
    "model.qk_layernorm": ("--qk-layernorm", True),
    "model.moe_shared_expert_gate": ("--moe-shared-expert-gate", True),
    "model.moe_grouped_gemm": ("--moe-grouped-gemm", True),
    "model.moe_pad_expert_input_to_capacity": ("--moe-pad-expert-input-to-capacity", True),
    "model.moe_permute_fusion": ("--moe-permute-fusion", True),
    "model.overlap_moe_expert_parallel_comm": ("--overlap-moe-expert-parallel-comm", True),
    "comm_overlap.overlap_moe_expert_parallel_comm": ("--overlap-moe-expert-parallel-comm", True),
    "model.moe_shared_expert_overlap": ("--moe-shared-expert-overlap", True),
    "model.multi_latent_attention": ("--multi-latent-attention", True),
    "model.sequence_parallel": ("--sequence-parallel", True),
    "model.account_for_embedding_in_pipeline_split": (
        "--account-for-embedding-in-pipeline-split",
        True,
    ),
    "model.account_for_loss_in_pipeline_split": ("--account-for-loss-in-pipeline-split", True),
    "model.add_bias_linear": ("--disable-bias-linear", False),
    "model.share_embeddings_and_output_weights": (
        "--untie-embeddings-and-output-weights",
        False,
    ),
    "ddp.use_distributed_optimizer": ("--use-distributed-optimizer", True),
    "optimizer.use_distributed_optimizer": ("--use-distributed-optimizer", True),
    "model.fine_grained_activation_offloading": ("--fine-grained-activation-offloading", True),
    "optimizer.optimizer_cpu_offload": ("--optimizer-cpu-offload", True),
    "optimizer.overlap_cpu_optimizer_d2h_h2d": ("--overlap-cpu-optimizer-d2h-h2d", True),
    "optimizer.use_precision_aware_optimizer": ("--use-precision-aware-optimizer", True),
    "ddp.overlap_grad_reduce": ("--overlap-grad-reduce", True),
    "ddp.overlap_param_gather": ("--overlap-param-gather", True),
    "comm_overlap.tp_comm_overlap": ("--tp-comm-overlap", True),
    "model.tp_comm_overlap": ("--tp-comm-overlap", True),
    "model.overlap_p2p_comm": ("--overlap-p2p-communication", True),
    "model.init_model_with_meta_device": ("--init-model-with-meta-device", True),
    "ddp.use_megatron_fsdp": ("--use-megatron-fsdp", True),
    "dist.use_megatron_fsdp": ("--use-megatron-fsdp", True),
    "dist.use_torch_fsdp2": ("--use-torch-fsdp2", True),
    "dist.use_tp_pp_dp_mapping": ("--use-tp-pp-dp-mapping", True),
    "comm_overlap.overlap_grad_reduce": ("--overlap-grad-reduce", True),
    "comm_overlap.overlap_param_gather": ("--overlap-param-gather", True),
    "model.cpu_offloading": ("--cpu-offloading", True),
    "model.cross_entropy_loss_fusion": ("--cross-entropy-loss-fusion", True),
    "model.masked_softmax_fusion": ("--no-masked-softmax-fusion", False),
    "model.bias_dropout_fusion": ("--no-bias-dropout-fusion", False),
    "model.gradient_accumulation_fusion": ("--no-gradient-accumulation-fusion", False),
    "model.apply_rope_fusion": ("--no-rope-fusion", False),
    "mixed_precision.bf16": ("--bf16", True),
    "mixed_precision.fp16": ("--fp16", True),
    "mixed_precision.fp8_param_gather": ("--fp8-param-gather", True),
    "mixed_precision.grad_reduce_in_fp32": ("--grad-reduce-in-bf16", False),
}
"""The flag that each switch corresponds to, and the value at which it does."""

_TOGETHER = (
    "model.gated_linear_unit",
    "model.activation_func",
    "model.bias_activation_fusion",
    "ddp.grad_reduce_in_fp32",
    "mixed_precision",
)
"""Fields that make flags with others."""
_WITHOUT_EFFECT = (
    "model.should_pad_vocab",
    "model.batch_p2p_comm",
    "comm_overlap.batch_p2p_comm",
    "comm_overlap.overlap_p2p_comm",
    "comm_overlap.delay_wgrad_compute",
    "model.cuda_graph_modules",
    "model.use_te_rng_tracker",
    "rng.te_rng_tracker",
    "mixed_precision.reuse_grad_buf_for_mxfp8_param_ag",
    "mixed_precision.first_last_layers_bf16",
    "model.moe_router_pre_softmax",
    "model.moe_router_enable_expert_bias",
    "comm_overlap",
    "ddp.check_for_nan_in_grad",
    "rerun_state_machine.check_for_nan_in_loss",
    "checkpoint.ckpt_format",
)
_TRUTH = {"true": True, "false": False}
_NOTHING = ("null", "none", "")


def looks_like_overrides(text: str) -> bool:
    """Whether a text holds overrides of a model or its training."""
    return re.search(r"(?:^|\s)['\"]?\+{0,2}(?:model|train)\.[a-z_]+=", text) is not None


def bridge_launch(source: Source, *, vocabulary: int | None = None) -> Launch:
    """The launch an override list describes. Raises: InputError with file, line and column."""
    overrides = list(_overrides(source))
    flags: list[Flag] = []
    unread: list[str] = []
    truths: dict[str, CommandWord] = {}
    for key, value in overrides:
        if key in _VALUES:
            if value.text.lower() not in _NOTHING:
                flags.append(Flag(_VALUES[key], (value,), value.origin))
        elif key in _SWITCHES:
            name, active = _SWITCHES[key]
            if _truth(key, value) == active:
                flags.append(Flag(name, (), value.origin))
        elif key in _TOGETHER:
            truths[key] = value
        elif key.partition(".")[0] == "peft" and value.text.lower() not in _NOTHING:
            raise _error(f"{key}: adapters, which alone are trained, are not planned", value)
        elif key not in _WITHOUT_EFFECT:
            unread.append(key)
    notes = Notes()
    flags += _derived(truths, flags)
    flags += _usual_experts(overrides, source)
    stated = {"--bf16", "--fp16", "--fp8-format", "--fp4-format"}
    if "mixed_precision" not in truths and stated.isdisjoint(flag.name for flag in flags):
        notes.assumed.append("mixed_precision bf16_mixed (what Megatron-Bridge's recipes take)")
        flags.append(Flag("--bf16", (), Origin(source.path, 1, 1)))
    notes.read.append(f"{len(overrides) - len(unread)} overrides of Megatron-Bridge")
    if unread:
        notes.left_out.append(f"overrides without a place here: {listed(unread)}")
    start = Origin(source.path, 1, 1)
    names = {flag: key for key, flag in reversed(_VALUES.items())}
    names |= {flag: key for key, (flag, _) in _SWITCHES.items()}
    checked = Flags(flags, path=source.path, origin=start, names=names)
    _needs_model(checked, source)
    return launch_of(checked, notes, script="", devices=None, vocabulary=vocabulary)


def _needs_model(flags: Flags, source: Source) -> None:
    if not flags.given("--num-layers") and not flags.given("--hidden-size"):
        raise InputError(
            "the overrides do not say how large the model is (model.num_layers, "
            "model.hidden_size, model.num_attention_heads …)",
            path=source.path,
            hint="they state only what differs from a recipe; add the recipe's sizes",
        )


def _overrides(source: Source) -> Iterator[tuple[str, CommandWord]]:
    """Keys and values in the order given, whether the list is a command or lines of a file."""
    try:
        followed = follow(
            script_of_file(source.text, source.path),
            given={},
            is_nested_script=lambda text: mentions_training(text) or looks_like_overrides(text),
            read_file=lambda name: None,
        )
    except InputError:
        yield from _loose_overrides(source)
        return
    yield from _precisions(source)
    for ran in followed.commands:
        for text in ran.words:
            match = _OVERRIDE.fullmatch(plain(text))
            if match is None or match[1] == "mixed_precision":
                continue
            origin = text[0].origin.after(match.start(2))
            if not is_known(text) and not _counts(match[1]):
                continue
            if not is_known(text):
                raise InputError(
                    f"the value of {match[1][:80]} is not in this file",
                    path=origin.path,
                    line=origin.line,
                    column=origin.column,
                )
            yield match[1], CommandWord(match[2].strip("'\""), origin)


def _counts(key: str) -> bool:
    """Whether anything here hangs on an override."""
    return key in _VALUES or key in _SWITCHES or key in _TOGETHER


def _loose_overrides(source: Source) -> Iterator[tuple[str, CommandWord]]:
    """Overrides of a list that is not shell, such as one with an unquoted layout."""
    for number, line in enumerate(source.lines(), start=1):
        for loose in _LOOSE.finditer(line.partition("#")[0]):
            match = _OVERRIDE.fullmatch(f"{loose[1]}={loose[2]}")
            if match:
                origin = Origin(source.path, number, loose.start(2) + 1)
                yield match[1], CommandWord(match[2].strip("'\""), origin)


def _precisions(source: Source) -> Iterator[tuple[str, CommandWord]]:
    """`mixed_precision=…` alone has no dot, so that the shell takes it for a variable."""
    for number, line in enumerate(source.lines(), start=1):
        match = re.search(
            r"(?:^|\s)mixed_precision=(['\"]?)([A-Za-z0-9_]+)", line.partition("#")[0]
        )
        if match:
            yield (
                "mixed_precision",
                CommandWord(match[2], Origin(source.path, number, match.start(2) + 1)),
            )


def _truth(key: str, value: CommandWord) -> bool:
    truth = _TRUTH.get(value.text.lower())
    if truth is None:
        raise _error(f"{key}: expected true or false, found {value.text[:40]!r}", value)
    return truth


def _error(message: str, value: CommandWord) -> InputError:
    place = value.origin
    return InputError(message, path=place.path, line=place.line, column=place.column)


def _derived(truths: dict[str, CommandWord], flags: list[Flag]) -> Iterator[Flag]:
    """Flags that several overrides make together."""
    gated = truths.get("model.gated_linear_unit")
    function = truths.get("model.activation_func")
    if function is not None and function.text.rpartition(".")[2] == "squared_relu":
        yield Flag("--squared-relu", (), function.origin)
    if gated is not None and _truth("model.gated_linear_unit", gated):
        silu = function is None or function.text.rpartition(".")[2] in ("silu", "swish")
        yield Flag("--swiglu" if silu else "--quick-geglu", (), gated.origin)
    if any(flag.name == "--num-query-groups" for flag in flags):
        place = next(flag.origin for flag in flags if flag.name == "--num-query-groups")
        yield Flag("--group-query-attention", (), place)
    fused = truths.get("model.bias_activation_fusion")
    if fused is not None and not _truth("model.bias_activation_fusion", fused):
        yield Flag("--no-bias-swiglu-fusion", (), fused.origin)
        yield Flag("--no-bias-gelu-fusion", (), fused.origin)
    precision = truths.get("mixed_precision")
    if precision is not None:
        yield from _precision(precision)
    kept = truths.get("ddp.grad_reduce_in_fp32")
    named = precision is not None and precision.text.lower() == "bf16_mixed"
    if kept is not None and named and not _truth("ddp.grad_reduce_in_fp32", kept):
        yield Flag("--grad-reduce-in-bf16", (), kept.origin)


def _usual_experts(overrides: list[tuple[str, CommandWord]], source: Source) -> Iterator[Flag]:
    """What Bridge's mixtures do unless told otherwise (`models/*/*_bridge.py`)."""
    start = Origin(source.path, 1, 1)
    given = {key for key, _ in overrides}
    if "model.num_moe_experts" not in given:
        return
    if "model.moe_token_dispatcher_type" not in given:
        yield Flag("--moe-token-dispatcher-type", (CommandWord("alltoall", start),), start)
    for key in ("model.moe_grouped_gemm", "model.moe_permute_fusion"):
        if key not in given:
            yield Flag(_SWITCHES[key][0], (), start)


def _precision(value: CommandWord) -> Iterator[Flag]:
    """Recipes of `mixed_precision`: bf16_mixed, fp16_with_fp8_mixed, bf16_with_mxfp8_mixed …"""
    text = value.text.lower()
    if "nvfp4" in text:
        yield Flag("--fp4-format", (CommandWord("e2m1", value.origin),), value.origin)
    elif "mxfp8" in text or "fp8" in text:
        recipe = "mxfp8" if "mxfp8" in text else "delayed"
        yield Flag("--fp8-format", (CommandWord("hybrid", value.origin),), value.origin)
        yield Flag("--fp8-recipe", (CommandWord(recipe, value.origin),), value.origin)
    if text.startswith(("bf16", "fp16")):
        yield Flag(f"--{text[:4]}", (), value.origin)
