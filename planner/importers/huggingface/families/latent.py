"""Decoders with latent attention: DeepSeek and its descendants."""

from __future__ import annotations

from planner.importers.huggingface.families.common import attention_biases, refuse
from planner.importers.huggingface.families.mixtures import (
    experts_after_dense,
    prediction_layers,
)
from planner.importers.huggingface.keys import Keys
from planner.importers.huggingface.layers import Model, all_layers_are

_FOLLOWS = ("num_key_value_heads", "head_dim", "qk_head_dim")
"""What is specific to latent attention: keys and values for every head, widths by part."""


def deepseek(keys: Keys, model: Model) -> None:
    keys.settled(*_FOLLOWS)
    model["ffn_hidden_size"] = keys.integer("intermediate_size")
    attention_biases(keys, model)
    model["moe"] = experts_after_dense(keys, model)
    low_rank = keys.optional("q_lora_rank")
    model["mla"] = {
        **({} if low_rank is None else {"q_lora_rank": low_rank}),
        "kv_lora_rank": keys.integer("kv_lora_rank"),
        "qk_head_dim": keys.integer("qk_nope_head_dim"),
        "qk_rope_head_dim": keys.integer("qk_rope_head_dim"),
        "v_head_dim": keys.integer("v_head_dim"),
    }
    prediction_layers(keys, model)


def deepseek_v2(keys: Keys, model: Model) -> None:
    """Routed experts have no biases where the other MLPs have them."""
    refuse(keys, "mlp_bias")
    deepseek(keys, model)


def sparse_deepseek(keys: Keys, model: Model) -> None:
    """Every layer chooses its keys with an indexer of its own."""
    deepseek(keys, model)
    all_layers_are(keys, "layer_types", "indexed_attention", model["num_layers"])
    all_layers_are(keys, "indexer_types", "full", model["num_layers"])
    if (keys.optional("index_topk_freq") or 1) > 1:
        raise keys.error("layers that share one indexer cannot be described", "index_topk_freq")
    model["mla"]["indexer"] = {
        "num_heads": keys.integer("index_n_heads"),
        "head_dim": keys.integer("index_head_dim"),
        "top_k": keys.integer("index_topk"),
    }
    keys.notes.assumed.append(
        "the indexer and sparse attention run as fused kernels; no measured run confirms their time"
    )


def glm4_moe_lite(keys: Keys, model: Model) -> None:
    """One dense layer first, unless the file lists its layers."""
    deepseek(keys, model)
    if not keys.given("mlp_layer_types"):
        model["moe"]["first_dense_layers"] = keys.optional("first_k_dense_replace", least=0) or 1
