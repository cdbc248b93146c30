"""The model of a training command, as the keys of a model file.

Megatron-LM's defaults for flags that are left out: `megatron/training/arguments.py` and
`megatron/core/transformer/transformer_config.py`.
"""

from __future__ import annotations

import re
from typing import Any

from planner.importers.megatron.flags import Flags
from planner.importers.megatron.layout import noop_layers
from planner.importers.megatron.mixture import moe_of
from planner.importers.megatron.swift import named_model
from planner.importers.megatron.unread import OTHER_MODELS
from planner.importers.megatron.vocabulary import vocab_size
from planner.importers.notes import Notes
from planner.importers.patterns import every_nth, read_pattern
from planner.specs.model.spec import MOST_LAYERS

_POSITIONS = {
    "learned_absolute": "learned",
    "rope": "rope",
    "yarn": "rope",
    "mrope": "rope",
    "rotary": "rope",
    "none": "none",
    "alibi": "alibi",
    "absolute": "learned",
}
_NORMS = {
    "LayerNorm": "layernorm",
    "RMSNorm": "rmsnorm",
    "layernorm": "layernorm",
    "rmsnorm": "rmsnorm",
}
"""In Megatron-DeepSpeed these are lower case."""

_GATED = {"swiglu": "silu", "geglu": "gelu", "reglu": "relu", "liglu": "gelu"}
"""Gates of BigScience's fork; that of `liglu` has no activation, which is priced as one."""

_OTHER_LAYERS = re.compile(r"mamba|hybrid|qwen3_(next|5)|delta_?net|linear_attention|rwkv")
_NOT_TRANSFORMER = "layers that are not transformer layers"
_SIZES = ("--num-layers", "--hidden-size", "--num-attention-heads")
_SKIP = "--window-attn-skip-freq"

Mapping = dict[str, Any]


def model_of(
    flags: Flags,
    notes: Notes,
    *,
    vocabulary: int | None = None,
    usual_vocabulary: int | None = None,
) -> Mapping:
    """The keys of a model file, `training:` aside. `vocabulary` is the vocabulary's size whatever
    the flags say, and `usual_vocabulary` its size where they say nothing.

    Raises: InputError at a flag that is missing or wrong, and at one that a model file cannot
    describe.
    """
    _refuse_other_models(flags)
    _note_other_layers(flags, notes)
    named = named_model(flags, notes)
    if named is not None:
        return named
    if not any(map(flags.given, _SIZES)):
        raise flags.error(
            "is missing, and so is every other size of the model",
            _SIZES[0],
            hint="where the program is not Megatron-LM's, give --model and the degrees as options",
        )
    layers = flags.needed("--num-layers", most=MOST_LAYERS) - len(noop_layers(flags))
    hidden = flags.needed("--hidden-size")
    heads = flags.needed("--num-attention-heads")
    biases = not flags.given("--disable-bias-linear")
    latent = flags.given("--multi-latent-attention")
    gated = any(map(flags.given, ("--swiglu", "--quick-geglu", "--glu-activation")))
    moe = moe_of(flags, layers, biases=biases)
    model: Mapping = {
        "architecture": _architecture(flags, moe=moe is not None, latent=latent),
        "num_layers": layers,
        "hidden_size": hidden,
        "ffn_hidden_size": flags.integer("--ffn-hidden-size") or _usual_ffn(flags, hidden, notes),
        "num_attention_heads": heads,
    }
    if not latent:
        model["num_query_groups"] = _query_groups(flags, heads, notes)
        model["head_dim"] = flags.integer("--kv-channels") or _usual_head_dim(flags, hidden, heads)
    model |= {
        "vocab_size": vocab_size(flags, notes, vocabulary, otherwise=usual_vocabulary),
        **_longest_sequence(flags, notes),
        "norm": _NORMS[flags.choice("--normalization", _NORMS) or "LayerNorm"],
        "norms_per_layer": _norms(flags),
        "gated_mlp": gated,
        "activation": _activation(flags),
        "activation_clamp": flags.given("--activation-func-clamp-value"),
        "tie_embeddings": not flags.given("--untie-embeddings-and-output-weights"),
        "position_embedding": _position_embedding(flags, notes),
        "qkv_bias": biases or flags.given("--add-qkv-bias"),
        "attention_bias": biases,
        "linear_bias": biases,
        "parallel_attention": False,
        "embedding_norm": flags.given("--embed-layernorm"),
        "qk_norm": flags.given("--qk-layernorm") and not latent,
        "attention_sinks": flags.text("--softmax-type") == "learnable",
        "dropout": _dropout(flags),
    }
    model |= _windows(flags, layers)
    if moe is not None:
        model["moe"] = moe
    if latent:
        model["mla"] = _latent_attention(flags, notes)
    if predictions := flags.integer("--mtp-num-layers", least=0):
        model["mtp_num_layers"] = predictions
    model["make_vocab_size_divisible_by"] = (
        flags.integer("--make-vocab-size-divisible-by", most=1_000_000) or 128
    )
    return model


def _refuse_other_models(flags: Flags) -> None:
    for name, what in OTHER_MODELS.items():
        found = flags.find(name)
        if found is not None:
            raise flags.error(f"the model has {what}, which a model file cannot describe", name)
    tokenizer = flags.text("--tokenizer-type") or ""
    if tokenizer.startswith("BertWordPiece"):
        raise flags.error(
            f"{tokenizer[:40]} is the tokenizer of an encoder",
            "--tokenizer-type",
            hint="planner plans decoders; describe one of the same size in a model file",
        )
    stage = flags.text("--stage")
    if stage not in (None, "pt", "sft"):
        raise flags.error(
            f"{stage[:20]} keeps a second model beside the trained one, which is not planned",
            "--stage",
        )


def _note_other_layers(flags: Flags, notes: Notes) -> None:
    """--spec names a function that makes the layers: `local`, one of Megatron-LM's, or one of
    another program's, whose code is not read."""
    spec = " ".join(flags.words("--spec") or ())
    if _OTHER_LAYERS.search(spec.lower()):
        raise flags.error(
            f"the model has {_NOT_TRANSFORMER}, which a model file cannot describe", "--spec"
        )
    if spec and spec != "local" and not spec.startswith("megatron."):
        notes.assumed.append(f"layers as the flags describe them; --spec {spec[:60]} may differ")


def _architecture(flags: Flags, *, moe: bool, latent: bool) -> str:
    """A name for the architecture that the flags describe; every default of the architecture is
    stated too."""
    if latent and moe:
        return "deepseek"
    norm = (flags.text("--normalization") or "").lower()
    llama = flags.given("--swiglu") and norm == "rmsnorm"
    if moe:
        return "mixtral" if llama else "gpt"
    return "llama" if llama else "gpt"


def _usual_ffn(flags: Flags, hidden: int, notes: Notes) -> int:
    """arguments.py: 4h; with a gate, two thirds of that in whole multiples of 64, or in FlagScale
    of `--multiple-of`, rounded up."""
    size = 4 * hidden
    multiple = flags.integer("--multiple-of")
    if flags.given("--swiglu") and multiple is not None:
        size = int(int(size * 2 / 3) * (flags.number("--hidden-dim-multiplier") or 1))
        size = -(-size // multiple) * multiple
    elif flags.given("--swiglu"):
        size = max(64, int(4 * hidden * 2 / 3) // 64 * 64)
    notes.assumed.append(f"ffn_hidden_size {size} (Megatron-LM's default)")
    return size


def _norms(flags: Flags) -> int:
    """Forks have flags for norms after attention and MLP: one for each, or one for both."""
    after = flags.given("--post-self-attn-layernorm") + flags.given("--post-mlp-layernorm")
    return 4 if flags.given("--post-norm") else 2 + after


def _usual_head_dim(flags: Flags, hidden: int, heads: int) -> int:
    if hidden % heads:
        raise flags.error(
            f"{heads} heads do not divide the hidden size {hidden}, and --kv-channels is missing",
            "--num-attention-heads",
        )
    return hidden // heads


def _query_groups(flags: Flags, heads: int, notes: Notes) -> int:
    """Megatron-DeepSpeed and forks for StarCoder have flags of their own, which need no switch."""
    groups = flags.integer("--num-key-value-heads")
    if groups is not None:
        return groups
    if flags.choice("--attention-head-type", ("multihead", "multiquery")) == "multiquery":
        return 1
    groups = flags.integer("--num-query-groups")
    if flags.given("--group-query-attention"):
        return groups or 1
    if groups is not None and groups != heads:
        notes.assumed.append(
            f"every head has its own keys and values: without --group-query-attention Megatron-LM "
            f"ignores --num-query-groups {groups}"
        )
    return heads


def _longest_sequence(flags: Flags, notes: Notes) -> Mapping:
    longest = flags.integer("--max-position-embeddings") or flags.integer("--seq-length")
    if longest is None:
        notes.left_out.append("no sequence length is stated")
        return {}
    return {"seq_length": longest}


def _activation(flags: Flags) -> str:
    if flags.given("--squared-relu"):
        return "squared_relu"
    chosen = flags.choice("--glu-activation", _GATED) or "geglu"
    return "silu" if flags.given("--swiglu") else _GATED[chosen]


def _position_embedding(flags: Flags, notes: Notes) -> str:
    if flags.given("--use-rotary-position-embeddings"):
        return "rope"
    kind = flags.choice("--position-embedding-type", _POSITIONS)
    if kind is None:
        notes.assumed.append("learned positions (Megatron-LM's default)")
    return _POSITIONS[kind or "learned_absolute"]


def _dropout(flags: Flags) -> bool:
    """Both probabilities are 0.1 unless a flag says otherwise (arguments.py)."""
    found = [flags.number(f"--{kind}-dropout") for kind in ("hidden", "attention")]
    return any(0.1 if one is None else one > 0 for one in found)


def _windows(flags: Flags, layers: int) -> Mapping:
    words = flags.words("--window-size")
    if not words:
        return {}
    if not words[0].isdigit() or not 1 <= int(words[0]) <= 10**9:
        raise flags.error(f"{' '.join(words)[:40]!r} does not start with keys", "--window-size")
    skip = flags.text("--window-attn-skip-freq")
    every: int | None = 0
    if skip is not None and skip.isdigit():
        every = int(skip)
    elif skip is not None:
        pattern = read_pattern(skip)
        if pattern is None or len(pattern) != layers:
            raise flags.error(f"{skip[:60]!r} is not {layers} zeros and ones", _SKIP)
        every = every_nth([not one for one in pattern])
    if every is None:
        raise flags.error("full attention is not in every n-th layer", _SKIP)
    return {"attention_window": int(words[0]), "full_attention_frequency": every}


def _latent_attention(flags: Flags, notes: Notes) -> Mapping:
    latent: Mapping = {}
    queries = flags.integer("--q-lora-rank")
    if queries is not None:
        latent["q_lora_rank"] = queries
    latent["kv_lora_rank"] = flags.integer("--kv-lora-rank") or 32
    latent["qk_head_dim"] = flags.integer("--qk-head-dim") or 128
    latent["qk_rope_head_dim"] = flags.integer("--qk-pos-emb-head-dim") or 64
    latent["v_head_dim"] = flags.integer("--v-head-dim") or 128
    if not flags.given("--qk-layernorm"):
        notes.assumed.append("latents are normalised, as --qk-layernorm would have it")
    return latent
