"""What families share: the common part of a model, heads, biases, and a family as a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from planner.importers.architectures import spelled_out
from planner.importers.huggingface.keys import Keys
from planner.importers.huggingface.layers import Model


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


def dense(keys: Keys, model: Model) -> None:
    """Grouped attention and one MLP in every layer."""
    attention(keys, model)
    model["ffn_hidden_size"] = keys.integer("intermediate_size")


def attention(keys: Keys, model: Model) -> None:
    heads = model["num_attention_heads"]
    groups = keys.optional("num_key_value_heads", most=1_000_000)
    model["num_query_groups"] = heads if groups is None else groups
    head_dim(keys, model)


def old_attention(keys: Keys, model: Model) -> None:
    """Keys and values for every head, and an MLP four times as wide unless the file says more."""
    head_dim(keys, model)
    model["num_query_groups"] = model["num_attention_heads"]
    model["ffn_hidden_size"] = keys.optional("intermediate_size") or 4 * model["hidden_size"]


def head_dim(keys: Keys, model: Model) -> None:
    heads, hidden = model["num_attention_heads"], model["hidden_size"]
    stated = keys.optional("head_dim", most=1_000_000)
    if stated is None and hidden % heads:
        raise keys.error(
            f"{heads} heads do not divide the hidden size {hidden}, and head_dim is missing",
            "num_attention_heads",
        )
    model["head_dim"] = hidden // heads if stated is None else stated


def attention_biases(keys: Keys, model: Model, *, output: bool = True) -> None:
    """One key for the biases of query, key and value, and of the output too unless it has none."""
    biased = keys.boolean("attention_bias", False)
    model["qkv_bias"] = biased
    model["attention_bias"] = biased and output


def all_biases(keys: Keys, model: Model, key: str, *, otherwise: bool) -> None:
    """One key for the biases of every linear layer."""
    biased = keys.boolean(key, otherwise)
    model |= {"qkv_bias": biased, "attention_bias": biased, "linear_bias": biased}


def refuse(keys: Keys, key: str, *, expected: bool = False) -> None:
    """Raises: InputError where a switch asks for something that a model file cannot describe."""
    if keys.boolean(key, expected) != expected:
        shown = "false" if expected else "true"
        raise keys.error(f"{shown} cannot be described in a model file", key)
