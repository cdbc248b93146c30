"""NeMo 1's configuration of a GPT model as Megatron-LM's flags.

Keys as in NVIDIA/NeMo 2.0.0, examples/nlp/language_modeling/conf/megatron_gpt_config.yaml, which
NVIDIA/NeMo-Framework-Launcher's launcher_scripts/conf/training/ and cloud recipes state in full.
What most keys mean is what Megatron-LM's flags of nearly the same names do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from planner.importers.megatron.command import Command, CommandWord, Flag
from planner.importers.megatron.unread import NOT_MODELLED
from planner.importers.shell.text import Origin

if TYPE_CHECKING:
    from planner.errors import InputError
    from planner.importers.source import Source
    from planner.specs.files.document import Document, Location

_MARKS = (
    re.compile(r"^model:[ \t]*(?:#.*)?$", re.MULTILINE),
    re.compile(r"^trainer:[ \t]*(?:#.*)?$", re.MULTILINE),
    re.compile(r"^  encoder_seq_length:", re.MULTILINE),
    re.compile(r"^  num_layers:", re.MULTILINE),
)
_RENAMED = {
    "encoder_seq_length": "--seq-length",
    "num_moe_experts": "--num-experts",
    "virtual_pipeline_model_parallel_size": "--num-virtual-stages-per-pipeline-rank",
    "activations_checkpoint_granularity": "--recompute-granularity",
    "activations_checkpoint_method": "--recompute-method",
    "activations_checkpoint_num_layers": "--recompute-num-layers",
    "override_vocab_size": "--vocab-size",
}
_VALUES = """
micro_batch_size global_batch_size tensor_model_parallel_size pipeline_model_parallel_size
context_parallel_size expert_model_parallel_size max_position_embeddings num_layers hidden_size
ffn_hidden_size num_attention_heads kv_channels num_query_groups hidden_dropout attention_dropout
make_vocab_size_divisible_by moe_router_topk moe_token_dispatcher_type moe_expert_capacity_factor
moe_ffn_hidden_size vocab_size window_size rampup_batch_size
"""
_ON = {
    "sequence_parallel": "--sequence-parallel",
    "qkv_bias": "--add-qkv-bias",
    "moe_grouped_gemm": "--moe-grouped-gemm",
    "moe_pad_expert_input_to_capacity": "--moe-pad-expert-input-to-capacity",
    "fp8": "--fp8-hybrid",
    "fp8_params": "--fp8-param-gather",
    "use_flash_attention": "--use-flash-attn",
    "cross_entropy_loss_fusion": "--cross-entropy-loss-fusion",
    "enable_cuda_graph": "--enable-cuda-graph",
    "use_tp_pp_dp_mapping": "--use-tp-pp-dp-mapping",
}
_OFF = {
    "bias": "--disable-bias-linear",
    "share_embeddings_and_output_weights": "--untie-embeddings-and-output-weights",
    "gradient_accumulation_fusion": "--no-gradient-accumulation-fusion",
    "masked_softmax_fusion": "--no-masked-softmax-fusion",
    "bias_dropout_add_fusion": "--no-bias-dropout-fusion",
    "bias_activation_fusion": "--no-bias-swiglu-fusion",
    "apply_rope_fusion": "--no-rope-fusion",
    "overlap_p2p_comm": "--no-overlap-p2p-communication",
}
_NORMS = {"layernorm": "LayerNorm", "layernorm1p": "LayerNorm", "rmsnorm": "RMSNorm"}
_ACTIVATIONS = {
    "gelu": None,
    "swiglu": "--swiglu",
    "fast-swiglu": "--swiglu",
    "geglu": "--quick-geglu",
    "fast-geglu": "--quick-geglu",
    "squared-relu": "--squared-relu",
}
_PRECISIONS = {"bf16": "--bf16", "bf16-mixed": "--bf16", "16": "--fp16", "16-mixed": "--fp16",
               "32": None, "32-true": None}  # fmt: skip
_LIBRARIES = {"huggingface": "HuggingFaceTokenizer", "sentencepiece": "GPTSentencePieceTokenizer"}
_SHARDED = ("mcore_distributed_optim", "distributed_fused_adam")
_OTHERS = {
    "mm_cfg": "--vision-model-type",
    "img_h": "--img-h",
    "retro": "--retro-add-retriever",
}
_REFUSED = {
    "fsdp": "FSDP of NeMo 1 is not read",
    "mcore_customization_config": "layers of an own kind are not read",
}
_READ_BESIDE = {"activation", "normalization", "position_embedding_type", "tokenizer", "optim"}
_WITHOUT_EFFECT = """
pre_process post_process native_amp_init_scale native_amp_growth_interval gradient_as_bucket_view
grad_allreduce_chunk_size_mb grad_div_ar_fusion onnx_safe persist_layer_norm hysteresis mcore_gpt
apex_transformer_log_level fp32_residual_connection fp16_lm_cross_entropy use_scaled_init_method
do_layer_norm_weight_decay batch_p2p_comm openai_gelu ffn_dropout headscale precision
normalize_attention_scores attention_type sync_batch_comm use_emha gc_interval megatron_legacy
seq_len_interpolation_factor async_grad_allreduce sharp layernorm_zero_centered_gamma data
get_attention_mask_from_fusion reduce_amax ub_tp_comm_overlap ub_tp_comm_overlap_cfg
scale_positional_embedding deterministic_mode tp_only_amax_red nsys_profile megatron_amp_O2
transformer_engine transformer_block_type resume_from_checkpoint restore_from_path name peft
fsdp_sharding_strategy fsdp_grad_reduce_dtype fsdp_sharded_checkpoint gated_linear_unit
num_micro_batches_with_partial_activation_checkpoints activations_checkpoint_layers_per_pipeline
use_te_rng_tracker nccl_communicator_config_path answer_only_loss dist_ckpt_load_on_device
dist_ckpt_parallel_save dist_ckpt_format init_method_std apply_query_key_layer_scaling seed
layernorm_epsilon rotary_percentage rotary_base rotary_interleaved use_cpu_initialization
fp8_e4m3 fp8_hybrid fp8_margin fp8_interval fp8_amax_history_len fp8_amax_compute_algo fp8_wgrad
moe_aux_loss_coeff moe_router_load_balancing_type enable_megatron_timers megatron_timer_kwargs
validation_param_sync_overlap tp_comm_overlap_ag tp_comm_overlap_rs tp_comm_atomic_ag
tp_comm_atomic_rs cpu_offloading_activations cpu_offloading_weights bert_binary_head
"""
_REFERENCE = re.compile(r"\$\{([^${}]*)\}")
_GROUPS = ("training", "peft", "fine_tuning")
"""What the launcher's files call themselves in references."""
_DEEPEST = 8


def looks_like_nemo(text: str) -> bool:
    """Whether a text is a configuration of NeMo 1 that states a model's sizes."""
    return all(mark.search(text) for mark in _MARKS)


def nemo_command(source: Source) -> Command:
    """The command that NeMo 1's configuration stands for. Raises: InputError for what is not YAML,
    a reference to what the file does not hold, and a model or a way of training that is not
    read."""
    return _Reading(source.yaml()).command()


class _Reading:
    """One file."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def command(self) -> Command:
        flags = (
            *self._others(),
            *self._plain(),
            *self._switches(),
            *self._model(),
            *self._precision(),
            *self._optimizer(),
            *self._tokenizer(),
            *self._unread(),
        )
        return Command(
            script="",
            origin=self._place(("model",)),
            condition="",
            flags=flags,
            launcher=(tuple(self._launcher()),),
        )

    def _at(self, *at: str) -> Any:
        """The value at a location, references followed; None where it is left out."""
        value: Any = self.document.tree
        for key in at:
            value = value.get(key) if isinstance(value, dict) else None
        return self._resolved(value, at, 0)

    def _resolved(self, value: Any, at: Location, depth: int) -> Any:
        if not isinstance(value, str) or "${" not in value:
            return value
        if depth == _DEEPEST:
            raise self._error(f"{value[:60]!r} refers to itself", at)
        whole = _REFERENCE.fullmatch(value)
        if whole is not None:
            return self._resolved(self._referred(whole[1], at), at, depth + 1)
        text = _REFERENCE.sub(lambda found: str(self._referred(found[1], at)), value)
        return self._resolved(text, at, depth + 1)

    def _referred(self, reference: str, at: Location) -> Any:
        """A product, what a variable is unless it is set, or the value of another key: of this
        group after a dot, else by its path."""
        function, colon, given = reference.partition(":")
        if colon and function.strip() in ("multiply", "divide_ceil"):
            numbers = [float(one) for one in given.split(",") if _is_number(one)]
            if len(numbers) == given.count(",") + 1:
                product = math.prod(numbers)
                found = numbers[0] / numbers[1] if function.strip() == "divide_ceil" else product
                return math.ceil(found)
        if colon and function.strip() == "oc.env":
            variable, comma, usual = given.partition(",")
            if not comma:
                raise self._error(f"is left to the variable {variable.strip()[:40]}", at)
            return _number_in(usual.strip())
        path = reference.strip().split(".")
        parts = [*(str(one) for one in at[:-1]), *path[1:]] if path[0] == "" else path
        parts = parts[1:] if parts[0] in _GROUPS else parts
        value: Any = self.document.tree
        for key in parts:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            raise self._error(f"refers to {reference[:60]}, which is not in this file", at)
        return value

    def _others(self) -> Iterator[Flag]:
        """Raises: InputError for what is not read; flags of models that are refused by name."""
        for key, why in _REFUSED.items():
            value = self._at("model", key)
            if any(value.values()) if isinstance(value, dict) else value:
                raise self._error(why, ("model", key))
        if self._at("model", "megatron_amp_O2") is False and _PRECISIONS.get(
            str(self._at("trainer", "precision"))
        ):
            raise self._error(
                "weights in fp32 beside layers in 16 bits are not planned",
                ("model", "megatron_amp_O2"),
            )
        for key, flag in _OTHERS.items():
            if self._at("model", key) is not None:
                yield self._flag(flag, ("model", key), "given")
        scheme = self._at("model", "peft", "peft_scheme")
        if scheme not in (None, "none", "null"):
            yield self._flag("--lora-rank", ("model", "peft", "peft_scheme"), str(scheme))

    def _plain(self) -> Iterator[Flag]:
        recomputes = self._at("model", "activations_checkpoint_granularity") is not None
        names = {name: "--" + name.replace("_", "-") for name in _VALUES.split()} | _RENAMED
        for name, flag in names.items():
            value = self._at("model", name)
            if value is None or (name.startswith("activations_") and not recomputes):
                continue
            words = value if isinstance(value, tuple) else (value,)
            yield self._flag(flag, ("model", name), *(str(word) for word in words))
            if name == "num_query_groups":
                yield self._flag("--group-query-attention", ("model", name))

    def _switches(self) -> Iterator[Flag]:
        quantised = self._at("model", "fp8") is True
        for name, flag in _ON.items():
            if self._at("model", name) is True and (quantised or name != "fp8_params"):
                yield self._flag(flag, ("model", name))
        for name, flag in _OFF.items():
            if self._at("model", name) is False:
                yield self._flag(flag, ("model", name))
        several = (self._at("model", "tensor_model_parallel_size") or 1) > 1
        at = ("model", "ub_tp_comm_overlap")
        if several and self._at("model", "sequence_parallel") and self._at(*at) is True:
            yield self._flag("--tp-comm-overlap", at)

    def _model(self) -> Iterator[Flag]:
        activation = self._at("model", "activation")
        if activation is not None:
            flag = self._word(_ACTIVATIONS, "activation")
            if flag is not None:
                yield self._flag(flag, ("model", "activation"))
        elif self._at("model", "gated_linear_unit"):
            yield self._flag("--quick-geglu", ("model", "gated_linear_unit"))
        at = ("model", "normalization")
        norm = self._at(*at)
        if norm is not None:
            yield self._flag("--normalization", at, _NORMS.get(str(norm).lower(), str(norm)))
        at = ("model", "position_embedding_type")
        position = self._at(*at)
        if position is not None:
            yield self._flag("--position-embedding-type", at, str(position).lower())

    def _precision(self) -> Iterator[Flag]:
        stated = self._at("trainer", "precision")
        if stated is None:
            return
        if str(stated) not in _PRECISIONS:
            names = ", ".join(_PRECISIONS)
            raise self._error(
                f"{str(stated)[:20]!r} is not one of {names}", ("trainer", "precision")
            )
        flag = _PRECISIONS[str(stated)]
        if flag is not None:
            yield self._flag(flag, ("trainer", "precision"))

    def _optimizer(self) -> Iterator[Flag]:
        """Whether the optimizer is sharded, and what of it is overlapped."""
        optim = ("model", "optim")
        name = self._at(*optim, "name")
        if name not in _SHARDED:
            return
        yield self._flag("--use-distributed-optimizer", (*optim, "name"))
        for key, flag in (
            ("overlap_grad_sync", "--overlap-grad-reduce"),
            ("overlap_param_sync", "--overlap-param-gather"),
        ):
            if self._at(*optim, key) is True:
                yield self._flag(flag, (*optim, key))
        if self._at(*optim, "grad_sync_dtype") == "bf16":
            yield self._flag("--grad-reduce-in-bf16", (*optim, "grad_sync_dtype"))

    def _tokenizer(self) -> Iterator[Flag]:
        at = ("model", "tokenizer")
        stated = self._at(*at)
        stated = stated if isinstance(stated, dict) else {}
        kind, model = stated.get("type"), stated.get("model")
        library = _LIBRARIES.get(str(self._at(*at, "library")))
        if library == "HuggingFaceTokenizer" and kind is not None:
            yield self._flag("--tokenizer-type", (*at, "type"), library)
            yield self._flag("--tokenizer-model", (*at, "type"), str(kind))
            return
        kind = kind or library
        if kind is not None:
            yield self._flag("--tokenizer-type", (*at, "library"), str(kind))
        if model is not None:
            yield self._flag("--tokenizer-model", (*at, "model"), str(model))

    def _unread(self) -> Iterator[Flag]:
        """The other keys by their own names, which no flag has, or as the flags that are known not
        to be modelled."""
        known = {*_VALUES.split(), *_RENAMED, *_ON, *_OFF, *_OTHERS, *_REFUSED, *_READ_BESIDE}
        known |= {*_WITHOUT_EFFECT.split()}
        for key, value in self.document.tree["model"].items():
            if key in known or value in (None, False) or isinstance(value, dict | tuple):
                continue
            words = () if value is True else (str(value),)
            flag = "--" + key.replace("_", "-")
            name = flag if flag in NOT_MODELLED else f"model.{key}"
            yield self._flag(name, ("model", key), *words)

    def _launcher(self) -> Iterator[CommandWord]:
        """Nothing where the number of nodes is left to the launcher."""
        if self._at("trainer", "num_nodes") is None:
            return
        for key, flag in (("num_nodes", "--nnodes"), ("devices", "--nproc-per-node")):
            value = self._at("trainer", key)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                place = self._place(("trainer", key))
                yield CommandWord(flag, place)
                yield CommandWord(str(value), place)

    def _word(self, choices: dict[str, str | None], key: str) -> str | None:
        value = str(self._at("model", key))
        if value not in choices:
            raise self._error(f"{value[:40]!r} is not one of {', '.join(choices)}", ("model", key))
        return choices[value]

    def _flag(self, name: str, at: Location, *words: str) -> Flag:
        place = self._place(at)
        return Flag(name, tuple(CommandWord(word, place) for word in words), place)

    def _place(self, at: Location) -> Origin:
        while at and at not in self.document.marks:
            at = at[:-1]
        place = self.document.marks[at].place
        return Origin(self.document.path, place.line, place.column)

    def _error(self, message: str, at: Location) -> InputError:
        return self.document.error(message, at)


def _number_in(text: str) -> int | str:
    return int(text) if re.fullmatch(r"\d{1,12}", text) else text


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*\d+(?:\.\d+)?\s*", text) is not None
