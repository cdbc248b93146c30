"""GPT-NeoX: sizes in its own YAML, keys with dashes or underscores.

Defaults and shapes as in EleutherAI/gpt-neox, `megatron/neox_arguments/neox_args.py` and
`megatron/model/transformer.py` (2024 on).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planner.importers.notes import Notes
from planner.specs.files.document import Document

_TELLING = ("pipe_parallel_size", "model_parallel_size", "pos_emb", "no_weight_tying", "norm")
_NORMS = {
    "layernorm": ("layernorm", True),
    "te_layernorm": ("layernorm", True),
    "rmsnorm": ("rmsnorm", True),
    "te_rmsnorm": ("rmsnorm", True),
    "non_parametric_layernorm": ("layernorm", False),
}
_POSITIONS = {"learned": "learned", "rotary": "rope", "alibi": "alibi", "none": "none"}
_ACTIVATIONS = {
    "gelu": ("gelu", False),
    "relu": ("relu", False),
    "swish": ("silu", False),
    "silu": ("silu", False),
    "geglu": ("gelu", True),
    "reglu": ("relu", True),
    "swiglu": ("silu", True),
}
_OTHER_LAYERS = ("rwkv", "mamba", "gmlp", "amlp")
_VOCABULARIES = {"20B_tokenizer": 50277, "gpt2": 50257}
_OF_A_TYPE = {"gpt2bpetokenizer": 50257, "hfgpt2tokenizer": 50257, "charleveltokenizer": 512}


def is_one(tree: Mapping[str, Any]) -> bool:
    keys = {key.replace("-", "_") for key in tree}
    return "num_layers" in keys and any(key in keys for key in _TELLING)


def model(document: Document, vocabulary: int | None) -> tuple[dict[str, Any], Notes]:
    """The keys of a model file. Raises: InputError at what is missing, wrong, or beyond one."""
    return _Reading(document, vocabulary).model()


class _Reading:
    def __init__(self, document: Document, vocabulary: int | None) -> None:
        self._document = document
        self._vocabulary = vocabulary
        self._names = {key.replace("-", "_"): key for key in document.tree}
        self._notes = Notes()

    def model(self) -> tuple[dict[str, Any], Notes]:
        self._refuse_other_layers()
        heads, hidden = self._size("num_attention_heads"), self._size("hidden_size")
        norm, scaled = self._choice("norm", _NORMS, "layernorm")
        activation, gated = self._choice("activation", _ACTIVATIONS, "gelu")
        parallel, tied = self._flag("gpt_j_residual", False), self._flag("gpt_j_tied", False)
        attention, mlp = (
            self._flag("use_bias_in_attn_linear", True),
            self._flag("use_bias_in_mlp", True),
        )
        longest = self._size("max_position_embeddings")
        found = {
            "architecture": "gpt_neox",
            "num_layers": self._size("num_layers"),
            "hidden_size": hidden,
            "ffn_hidden_size": self._width(hidden, gated),
            "num_attention_heads": heads,
            "num_query_groups": self._number("num_kv_heads") or heads,
            "vocab_size": self._vocab_size(),
            "seq_length": longest,
            "norm": norm,
            "norm_bias": norm == "layernorm" and scaled,
            "norm_scale": scaled,
            "norms_per_layer": 1 if parallel and tied else 2,
            "gated_mlp": gated,
            "activation": activation,
            "tie_embeddings": not self._flag("no_weight_tying", False),
            "position_embedding": self._choice("pos_emb", _POSITIONS, "learned"),
            "qkv_bias": attention,
            "attention_bias": attention,
            "linear_bias": mlp,
            "parallel_attention": parallel,
            "embedding_norm": False,
            "qk_norm": False,
            "dropout": any(self._get(f"{kind}_dropout") for kind in ("hidden", "attention")),
            "activation_clamp": False,
            "attention_sinks": False,
            "make_vocab_size_divisible_by": self._number("make_vocab_size_divisible_by") or 128,
            "training": self._training(),
        }
        if hidden % heads:
            raise self._document.error(
                f"{heads} heads do not divide the hidden size {hidden}",
                self._at("num_attention_heads"),
            )
        found["head_dim"] = hidden // heads
        window = self._number("sliding_window_width")
        if window:
            found |= {"attention_window": window, "full_attention_frequency": 0}
        self._notes.read.append("sizes of GPT-NeoX")
        return found, self._notes

    def _refuse_other_layers(self) -> None:
        for key in ("moe_num_experts",):
            if (self._number(key) or 1) > 1:
                raise self._document.error("mixtures of GPT-NeoX are not read", self._at(key))
        if self._flag("use_qk_layernorm", False):
            raise self._document.error("norms of heads are not read", self._at("use_qk_layernorm"))
        shown = str(self._get("attention_config"))
        other = next((one for one in _OTHER_LAYERS if one in shown), None)
        if other is not None:
            raise self._document.error(
                f"layers of {other} cannot be described in a model file",
                self._at("attention_config"),
            )

    def _width(self, hidden: int, gated: bool) -> int:
        """ParallelMLP: a gate takes two thirds of the width in two halves, in whole multiples."""
        width = self._number("intermediate_size") or 4 * hidden
        multiple = self._number("mlp_multiple_of") or 1
        if gated:
            width = int(width * 2 / 3) // 2
        return -(-width // multiple) * multiple

    def _vocab_size(self) -> int:
        if self._vocabulary is not None:
            return self._vocabulary
        stated = self._number("padded_vocab_size") or self._number("vocab_size")
        if stated:
            return stated
        kind = str(self._get("tokenizer_type") or "GPT2BPETokenizer")
        file = str(self._get("vocab_file") or "")
        known = next((size for part, size in _VOCABULARIES.items() if part in file), None)
        size = known or _OF_A_TYPE.get(kind.lower())
        if size is None:
            raise self._document.error(
                f"the vocabulary's size is not stated: {kind[:40]} takes it from a file",
                self._at("tokenizer_type"),
                hint="give it with --vocab-size N",
            )
        stated_kind = "its vocab_file" if known else kind
        if not known and self._get("tokenizer_type") is None:
            stated_kind += ", the default; another file of the job may say otherwise"
        self._notes.assumed.append(f"vocab_size {size} ({stated_kind})")
        return size

    def _training(self) -> dict[str, Any]:
        training: dict[str, Any] = {"seq_length": self._number("seq_length")}
        batch = self._number("train_batch_size")
        if batch:
            training["global_batch_size"] = batch
        precision = str(self._get("precision"))
        for name, key in (("bf16", "bf16"), ("fp16", "fp16")):
            part = self._get(key)
            enabled = isinstance(part, dict) and part.get("enabled", part.get(key))
            if enabled or precision.startswith("bfloat16" if name == "bf16" else "fp16"):
                training["precision"] = name
                break
        return {key: value for key, value in training.items() if value is not None}

    def _get(self, key: str) -> Any:
        return self._document.tree.get(self._names.get(key, key))

    def _at(self, key: str) -> tuple[str, ...]:
        return (self._names[key],) if key in self._names else ()

    def _number(self, key: str) -> int | None:
        value = self._get(key)
        if value is None:
            return None
        if type(value) is not int or not 0 <= value <= 10**9:
            raise self._document.error(
                f"expected a whole number, found {str(value)[:40]!r}", self._at(key)
            )
        return value

    def _size(self, key: str) -> int:
        value = self._number(key)
        if not value:
            raise self._document.error(f"{key} is missing", self._at(key))
        return value

    def _flag(self, key: str, otherwise: bool) -> bool:
        value = self._get(key)
        if value is None:
            return otherwise
        if not isinstance(value, bool):
            raise self._document.error(
                f"expected true or false, found {str(value)[:40]!r}", self._at(key)
            )
        return value

    def _choice(self, key: str, known: Mapping[str, Any], otherwise: str) -> Any:
        value = self._get(key)
        chosen = otherwise if value is None else value
        if not isinstance(chosen, str) or chosen not in known:
            raise self._document.error(
                f"{str(chosen)[:40]!r} is not one of {', '.join(known)}", self._at(key)
            )
        return known[chosen]
