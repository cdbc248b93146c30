"""One function for each family of models: from the keys of its config to a model file's.

What each class builds is read in the modelling files of transformers 5.23; what it takes where a
key is missing in its configuration files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from planner.importers.architectures import spelled_out
from planner.importers.huggingface.keys import Keys
from planner.importers.huggingface.layers import (
    Model,
    expert_layers,
    experts,
    layer_types,
    window,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """`defaults`: what the class takes for missing keys. `fill` completes the common part."""

    architecture: str
    class_name: str
    defaults: Mapping[str, Any]
    fill: Callable[[Keys, Model], None]


def model_of(family: Family, keys: Keys) -> Model:
    """The keys of a model file. Raises: InputError at the key that is missing or wrong."""
    model: Model = {"architecture": family.architecture}
    model["num_layers"] = keys.integer("num_hidden_layers", most=100_000)
    model["hidden_size"] = keys.integer("hidden_size", most=10_000_000)
    model["num_attention_heads"] = keys.integer("num_attention_heads", most=1_000_000)
    model["vocab_size"] = keys.integer("vocab_size")
    longest = keys.optional("max_position_embeddings")
    if longest is not None:
        model["seq_length"] = longest
    model |= spelled_out(family.architecture)
    model["activation"] = keys.activation()
    model["tie_embeddings"] = keys.boolean("tie_word_embeddings", model["tie_embeddings"])
    model["dropout"] = keys.dropout()
    family.fill(keys, model)
    _check_heads(keys, model)
    return model


def _check_heads(keys: Keys, model: Model) -> None:
    heads, groups = model["num_attention_heads"], model.get("num_query_groups")
    if groups is not None and heads % groups:
        raise keys.error(
            f"{heads} attention heads are not a multiple of {groups} key and value heads",
            "num_key_value_heads",
        )


def _dense(keys: Keys, model: Model) -> None:
    """Grouped attention and one MLP in every layer."""
    _attention(keys, model)
    model["ffn_hidden_size"] = keys.integer("intermediate_size")


def _attention(keys: Keys, model: Model) -> None:
    heads = model["num_attention_heads"]
    groups = keys.optional("num_key_value_heads", most=1_000_000)
    model["num_query_groups"] = heads if groups is None else groups
    _head_dim(keys, model)


def _head_dim(keys: Keys, model: Model) -> None:
    heads, hidden = model["num_attention_heads"], model["hidden_size"]
    stated = keys.optional("head_dim", most=1_000_000)
    if stated is None and hidden % heads:
        raise keys.error(
            f"{heads} heads do not divide the hidden size {hidden}, and head_dim is missing",
            "num_attention_heads",
        )
    model["head_dim"] = hidden // heads if stated is None else stated


def _attention_biases(keys: Keys, model: Model) -> None:
    model["qkv_bias"] = model["attention_bias"] = keys.boolean("attention_bias", False)


def llama(keys: Keys, model: Model) -> None:
    _dense(keys, model)
    _attention_biases(keys, model)
    model["linear_bias"] = keys.boolean("mlp_bias", False)


def mistral(keys: Keys, model: Model) -> None:
    _dense(keys, model)
    layers = model["num_layers"]
    window(keys, model, layer_types(keys, layers) or [False] * layers)


def mixtral(keys: Keys, model: Model) -> None:
    _dense(keys, model)
    model["moe"] = {
        **experts(keys),
        "ffn_hidden_size": model["ffn_hidden_size"],
    }
    window(keys, model, [False] * model["num_layers"])


def qwen2(keys: Keys, model: Model) -> None:
    _dense(keys, model)
    _qwen_window(keys, model)


def qwen3(keys: Keys, model: Model) -> None:
    _dense(keys, model)
    _attention_biases(keys, model)
    _qwen_window(keys, model)


def _qwen_window(keys: Keys, model: Model) -> None:
    layers = model["num_layers"]
    listed = layer_types(keys, layers)
    if listed is None and not keys.boolean("use_sliding_window", False):
        return
    first = keys.optional("max_window_layers", least=0) or 0
    window(keys, model, listed or [index < first for index in range(layers)])


def qwen3_moe(keys: Keys, model: Model) -> None:
    qwen3(keys, model)
    layers = model["num_layers"]
    step = keys.integer("decoder_sparse_step")
    dense = keys.sequence("mlp_only_layers") or []
    if not all(type(layer) is int for layer in dense):
        raise keys.error("expected whole numbers", "mlp_only_layers")
    chosen = [index not in dense and (index + 1) % step == 0 for index in range(layers)]
    moe = {**experts(keys), "ffn_hidden_size": keys.integer("moe_intermediate_size")}
    model["moe"] = moe | expert_layers(keys, chosen, "mlp_only_layers")


def gpt2(keys: Keys, model: Model) -> None:
    if keys.boolean("add_cross_attention", False):
        raise keys.error(
            "cross attention cannot be described in a model file", "add_cross_attention"
        )
    model["seq_length"] = keys.integer("max_position_embeddings")
    _head_dim(keys, model)
    model["num_query_groups"] = model["num_attention_heads"]
    model["ffn_hidden_size"] = keys.optional("intermediate_size") or 4 * model["hidden_size"]


def gpt_neox(keys: Keys, model: Model) -> None:
    _dense(keys, model)
    model["qkv_bias"] = model["attention_bias"] = keys.boolean("attention_bias", True)
    model["parallel_attention"] = keys.boolean("use_parallel_residual", True)


def deepseek(keys: Keys, model: Model) -> None:
    layers = model["num_layers"]
    model["ffn_hidden_size"] = keys.integer("intermediate_size")
    _attention_biases(keys, model)
    routed = experts(keys)
    width = keys.integer("moe_intermediate_size")
    shared = keys.optional("n_shared_experts", least=0, most=100_000) or 0
    first = keys.optional("first_k_dense_replace", least=0) or 0
    step = keys.optional("moe_layer_freq") or 1
    chosen = [index >= first and index % step == 0 for index in range(layers)]
    model["moe"] = {**routed, "ffn_hidden_size": width}
    if shared:
        model["moe"]["shared_expert_ffn_hidden_size"] = shared * width
    model["moe"] |= expert_layers(keys, chosen, "first_k_dense_replace")
    low_rank = keys.optional("q_lora_rank")
    model["mla"] = {
        **({} if low_rank is None else {"q_lora_rank": low_rank}),
        "kv_lora_rank": keys.integer("kv_lora_rank"),
        "qk_head_dim": keys.integer("qk_nope_head_dim"),
        "qk_rope_head_dim": keys.integer("qk_rope_head_dim"),
        "v_head_dim": keys.integer("v_head_dim"),
    }
    predictions = keys.optional("num_nextn_predict_layers", least=0, most=100)
    if predictions:
        model["mtp_num_layers"] = predictions


def gemma2(keys: Keys, model: Model) -> None:
    _dense(keys, model)
    _attention_biases(keys, model)
    layers = model["num_layers"]
    listed = layer_types(keys, layers)
    window(keys, model, listed or [(index + 1) % 2 == 0 for index in range(layers)])


def gemma3(keys: Keys, model: Model) -> None:
    _dense(keys, model)
    _attention_biases(keys, model)
    layers = model["num_layers"]
    every = keys.integer("sliding_window_pattern")
    listed = layer_types(keys, layers)
    window(keys, model, listed or [(index + 1) % every == 0 for index in range(layers)])


def falcon(keys: Keys, model: Model) -> None:
    heads = model["num_attention_heads"]
    new = keys.boolean("new_decoder_architecture", False)
    parallel = new or keys.boolean("parallel_attn", True)
    if new:
        groups = keys.optional("num_key_value_heads", most=1_000_000) or heads
    else:
        groups = 1 if keys.boolean("multi_query", True) else heads
    model["num_query_groups"] = groups
    _head_dim(keys, model)
    model["ffn_hidden_size"] = keys.optional("intermediate_size") or 4 * model["hidden_size"]
    norms = keys.optional("num_ln_in_parallel_attn", most=2) or (2 if new else 1)
    model["norms_per_layer"] = norms if parallel else 2
    model["parallel_attention"] = parallel
    biased = keys.boolean("bias", False)
    model |= {"qkv_bias": biased, "attention_bias": biased, "linear_bias": biased}
    model["position_embedding"] = "alibi" if keys.boolean("alibi", False) else "rope"


def bloom(keys: Keys, model: Model) -> None:
    _head_dim(keys, model)
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
    for key in ("do_layer_norm_before", "layer_norm_elementwise_affine"):
        if not keys.boolean(key, True):
            raise keys.error("false cannot be described in a model file", key)
    if keys.boolean("_remove_final_layer_norm", False):
        raise keys.error("true cannot be described in a model file", "_remove_final_layer_norm")
    _head_dim(keys, model)
    model["num_query_groups"] = model["num_attention_heads"]
    model["ffn_hidden_size"] = keys.integer("intermediate_size")
    biased = keys.boolean("enable_bias", True)
    model |= {"qkv_bias": biased, "attention_bias": biased, "linear_bias": biased}
    model["seq_length"] = longest + 2
    model["training"] = {"seq_length": longest}
    keys.notes.assumed.append(
        f"seq_length {longest + 2}: the position table has two rows more than the {longest} "
        "positions, which training.seq_length keeps"
    )


def phi3(keys: Keys, model: Model) -> None:
    _dense(keys, model)
    window(keys, model, [False] * model["num_layers"])


def gpt_oss(keys: Keys, model: Model) -> None:
    _dense(keys, model)
    model["qkv_bias"] = model["attention_bias"] = keys.boolean("attention_bias", True)
    model["moe"] = {
        **experts(keys),
        "ffn_hidden_size": model["ffn_hidden_size"],
        "router_bias": True,
    }
    layers = model["num_layers"]
    listed = layer_types(keys, layers)
    window(keys, model, listed or [(index + 1) % 2 == 0 for index in range(layers)])
