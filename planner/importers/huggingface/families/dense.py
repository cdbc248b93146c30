"""Decoders with one gated MLP in every layer."""

from __future__ import annotations

from planner.importers.huggingface.families.common import (
    all_biases,
    attention_biases,
    dense,
)
from planner.importers.huggingface.keys import Keys
from planner.importers.huggingface.layers import (
    Model,
    every_nth_full,
    full_layers,
    window,
)


def llama(keys: Keys, model: Model) -> None:
    dense(keys, model)
    attention_biases(keys, model)
    model["linear_bias"] = keys.boolean("mlp_bias", False)


def mistral(keys: Keys, model: Model) -> None:
    dense(keys, model)
    layers = model["num_layers"]
    window(keys, model, full_layers(keys, layers) or [False] * layers)


def phi3(keys: Keys, model: Model) -> None:
    dense(keys, model)
    window(keys, model, [False] * model["num_layers"])


def qwen2(keys: Keys, model: Model) -> None:
    dense(keys, model)
    qwen_window(keys, model)


def qwen3(keys: Keys, model: Model) -> None:
    dense(keys, model)
    attention_biases(keys, model)
    qwen_window(keys, model)


def qwen_window(keys: Keys, model: Model) -> None:
    layers = model["num_layers"]
    listed = full_layers(keys, layers)
    if listed is None and not keys.boolean("use_sliding_window", False):
        return
    first = keys.optional("max_window_layers", least=0) or 0
    window(keys, model, listed or [index < first for index in range(layers)])


def gemma(keys: Keys, model: Model) -> None:
    dense(keys, model)
    attention_biases(keys, model)


def gemma2(keys: Keys, model: Model) -> None:
    gemma(keys, model)
    layers = model["num_layers"]
    window(keys, model, full_layers(keys, layers) or every_nth_full(layers, 2))


def gemma3(keys: Keys, model: Model) -> None:
    gemma(keys, model)
    patterned_window(keys, model, usual=6)


def patterned_window(keys: Keys, model: Model, *, usual: int) -> None:
    """Full attention in every n-th layer, by a list of layers or by n."""
    layers = model["num_layers"]
    listed = full_layers(keys, layers)
    every = keys.pattern("sliding_window_pattern") or usual
    window(keys, model, listed or every_nth_full(layers, every))


def olmo(keys: Keys, model: Model) -> None:
    dense(keys, model)
    attention_biases(keys, model)


def olmo3(keys: Keys, model: Model) -> None:
    olmo(keys, model)
    patterned_window(keys, model, usual=4)


def cohere(keys: Keys, model: Model) -> None:
    dense(keys, model)
    attention_biases(keys, model)
    model["qk_norm"] = keys.boolean("use_qk_norm", False)


def cohere2(keys: Keys, model: Model) -> None:
    dense(keys, model)
    attention_biases(keys, model)
    patterned_window(keys, model, usual=4)


def stablelm(keys: Keys, model: Model) -> None:
    dense(keys, model)
    model["qkv_bias"] = keys.boolean("use_qkv_bias", False)
    model["qk_norm"] = keys.boolean("qk_layernorm", False)
    parallel = keys.boolean("use_parallel_residual", False)
    model |= {"parallel_attention": parallel, "norms_per_layer": 1 if parallel else 2}


def glm(keys: Keys, model: Model) -> None:
    dense(keys, model)
    attention_biases(keys, model, output=False)


def exaone4(keys: Keys, model: Model) -> None:
    dense(keys, model)
    patterned_window(keys, model, usual=4)


def smollm3(keys: Keys, model: Model) -> None:
    """Layers without rotary positions are the windowed ones, where there is a window."""
    llama(keys, model)
    layers = model["num_layers"]
    listed = full_layers(keys, layers)
    if listed is None and not keys.boolean("use_sliding_window", False):
        return
    rotary = keys.sequence("no_rope_layers")
    every = keys.optional("no_rope_layer_interval") or 4
    usual = [(index + 1) % every != 0 for index in range(layers)]
    window(keys, model, listed or ([bool(one) for one in rotary] if rotary else usual))


def ernie4_5(keys: Keys, model: Model) -> None:
    dense(keys, model)
    all_biases(keys, model, "use_bias", otherwise=False)


def seed_oss(keys: Keys, model: Model) -> None:
    dense(keys, model)
    model["qkv_bias"] = keys.boolean("attention_bias", True)
    model["attention_bias"] = keys.boolean("attention_out_bias", False)
    model["linear_bias"] = keys.boolean("mlp_bias", False)


def helium(keys: Keys, model: Model) -> None:
    dense(keys, model)
    attention_biases(keys, model, output=False)
    model["linear_bias"] = keys.boolean("mlp_bias", False)


def nemotron(keys: Keys, model: Model) -> None:
    dense(keys, model)
    attention_biases(keys, model)
    model["linear_bias"] = keys.boolean("mlp_bias", False)


def apertus(keys: Keys, model: Model) -> None:
    llama(keys, model)
    if keys.word("hidden_act", ("xielu",)) is not None:
        keys.notes.assumed.append("xIELU runs like GELU, and its two weights a layer do not count")


def cwm(keys: Keys, model: Model) -> None:
    llama(keys, model)
    patterned_window(keys, model, usual=4)
