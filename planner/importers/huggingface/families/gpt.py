"""Decoders with an MLP of two matrices: GPT-2 and its descendants."""

from __future__ import annotations

from planner.importers.huggingface.families.common import (
    all_biases,
    attention,
    dense,
    head_dim,
    old_attention,
    refuse,
)
from planner.importers.huggingface.keys import Keys
from planner.importers.huggingface.layers import Model, window


def gpt2(keys: Keys, model: Model) -> None:
    refuse(keys, "add_cross_attention")
    old_attention(keys, model)


def gpt_bigcode(keys: Keys, model: Model) -> None:
    gpt2(keys, model)
    if keys.boolean("multi_query", True):
        model["num_query_groups"] = 1


def gpt_neo(keys: Keys, model: Model) -> None:
    """`attention_types` repeats lists of kinds: [[["global", "local"], 12]]."""
    old_attention(keys, model)
    layers = model["num_layers"]
    repeated = keys.sequence("attention_types") or [[["global", "local"], layers // 2]]
    kinds: list[str] = []
    for entry in repeated:
        listed = isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], list)
        if not listed or type(entry[1]) is not int or not 0 <= entry[1] <= layers:
            raise keys.error(
                "expected lists of kinds and how often each repeats", "attention_types"
            )
        kinds += [str(kind) for kind in entry[0]] * entry[1]
    if len(kinds) != layers or set(kinds) - {"global", "local"}:
        raise keys.error(f"does not say global or local for {layers} layers", "attention_types")
    window(keys, model, [kind == "global" for kind in kinds], key="window_size")


def gptj(keys: Keys, model: Model) -> None:
    old_attention(keys, model)


def gpt_neox(keys: Keys, model: Model) -> None:
    dense(keys, model)
    model["qkv_bias"] = model["attention_bias"] = keys.boolean("attention_bias", True)
    model["parallel_attention"] = keys.boolean("use_parallel_residual", True)


def falcon(keys: Keys, model: Model) -> None:
    heads = model["num_attention_heads"]
    new = keys.boolean("new_decoder_architecture", False)
    parallel = new or keys.boolean("parallel_attn", True)
    if new:
        groups = keys.optional("num_key_value_heads", most=1_000_000) or heads
    else:
        groups = 1 if keys.boolean("multi_query", True) else heads
    old_attention(keys, model)
    model["num_query_groups"] = groups
    norms = keys.optional("num_ln_in_parallel_attn", most=2) or (2 if new else 1)
    model["norms_per_layer"] = norms if parallel else 2
    model["parallel_attention"] = parallel
    all_biases(keys, model, "bias", otherwise=False)
    model["position_embedding"] = "alibi" if keys.boolean("alibi", False) else "rope"


def bloom(keys: Keys, model: Model) -> None:
    head_dim(keys, model)
    model["num_query_groups"] = model["num_attention_heads"]
    model["ffn_hidden_size"] = 4 * model["hidden_size"]


def opt(keys: Keys, model: Model) -> None:
    """The position table has two rows more than positions (`OPTLearnedPositionalEmbedding`)."""
    hidden, longest = model["hidden_size"], keys.integer("max_position_embeddings")
    projected = keys.optional("word_embed_proj_dim")
    if projected not in (None, hidden):
        raise keys.error(
            f"embeddings of {projected} for a hidden size of {hidden} cannot be described in a "
            "model file",
            "word_embed_proj_dim",
        )
    refuse(keys, "do_layer_norm_before", expected=True)
    refuse(keys, "layer_norm_elementwise_affine", expected=True)
    refuse(keys, "_remove_final_layer_norm")
    head_dim(keys, model)
    model["num_query_groups"] = model["num_attention_heads"]
    model["ffn_hidden_size"] = keys.integer("intermediate_size")
    all_biases(keys, model, "enable_bias", otherwise=True)
    model["seq_length"] = longest + 2
    model["training"] = {"seq_length": longest}
    keys.notes.assumed.append(
        f"seq_length {longest + 2}: the position table has two rows more than the {longest} "
        "positions, which training.seq_length keeps"
    )


def starcoder2(keys: Keys, model: Model) -> None:
    dense(keys, model)
    all_biases(keys, model, "use_bias", otherwise=True)
    window(keys, model, [False] * model["num_layers"])


def phi(keys: Keys, model: Model) -> None:
    attention(keys, model)
    model["ffn_hidden_size"] = keys.integer("intermediate_size")
    model["qk_norm"] = keys.boolean("qk_layernorm", False)


def persimmon(keys: Keys, model: Model) -> None:
    dense(keys, model)
    model["num_query_groups"] = model["num_attention_heads"]
    model["qk_norm"] = keys.boolean("qk_layernorm", True)


def mpt(keys: Keys, model: Model) -> None:
    """Linear distances in place of positions, whatever the file says, and no biases anywhere
    (`modeling_mpt.py`)."""
    refuse(keys, "no_bias", expected=True)
    head_dim(keys, model)
    model["num_query_groups"] = model["num_attention_heads"]
    model["ffn_hidden_size"] = (keys.optional("expansion_ratio") or 4) * model["hidden_size"]
    model |= {"qkv_bias": False, "attention_bias": False, "linear_bias": False}
    model |= {"norm_bias": False, "position_embedding": "alibi"}
