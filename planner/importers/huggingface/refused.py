"""Types that cannot be planned for: why, and what can be done instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planner.importers.huggingface.facts import facts

_RECURRENT_TYPES = """
bailing_hybrid bamba falcon_h1 falcon_mamba granitemoehybrid jamba kimi_linear lfm2 lfm2_moe mamba
mamba2 minimax minimax_m1 nemotron_h olmo_hybrid qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text
qwen3_next recurrent_gemma rwkv rwkv5 rwkv6 rwkv7 xlstm zamba zamba2
"""
_UNEVEN_TYPES = """
decilm deci gemma3n gemma3n_text gemma4 gemma4_text llama-nas nemotron-nas openelm
"""
_RECURRENT = frozenset(_RECURRENT_TYPES.split())
_UNEVEN = frozenset(_UNEVEN_TYPES.split())
_OTHER_SHAPES = {
    "qwen": "an MLP half as wide as intermediate_size says",
    "longcat_flash": "two attentions in a layer, and experts that compute nothing",
    "step3": "queries that share one low-rank projection",
    "step3_text": "queries that share one low-rank projection",
    "diffllama": "attention that subtracts one softmax from another",
    "differential": "attention that subtracts one softmax from another",
    "deepseek_v4": "several residual streams and compressed attention",
    "jetmoe": "mixtures of experts in its attention",
}
"""What a type has that the nearest known type would count wrongly."""
_CROSS = frozenset(("mllama", "mllama_text_model"))
DESCRIBE = "describe the model in a model file (`planner schema model` lists its keys)"
_DO = "planner plans decoders of attention layers; describe one of the same size in a model file"


def refusal(kind: str, config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why a config of this type is refused and what to do instead, or None if it is not refused."""
    shown = kind[:60]
    if config.get("is_encoder_decoder") is True or kind in facts().encoder_decoders:
        return f"{shown} has an encoder and a decoder, joined by cross attention", _DO
    if kind in facts().encoders:
        return f"{shown} is an encoder: it does not predict the next token", _DO
    if kind in _RECURRENT:
        return f"{shown} has layers of linear attention or state spaces, not priced here", _DO
    if kind in _UNEVEN:
        return f"{shown} has layers of different widths, which a model file cannot describe", _DO
    if kind in _OTHER_SHAPES:
        return f"{shown} has {_OTHER_SHAPES[kind]}, which is not read", DESCRIBE
    if kind in _CROSS:
        return f"{shown} has layers of cross attention, which a model file cannot describe", _DO
    return None
