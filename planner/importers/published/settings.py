"""A published model with the settings that a recipe or a framework's file lays over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from planner.importers.notes import Notes, listed

_SIZES = {
    "num_layers": ("num_layers",),
    "hidden_size": ("hidden_size",),
    "ffn_hidden_size": ("ffn_hidden_size",),
    "num_attention_heads": ("num_attention_heads",),
    "num_query_groups": ("num_query_groups",),
    "kv_channels": ("head_dim",),
    "vocab_size": ("vocab_size",),
    "padded_vocab_size": ("vocab_size",),
    "max_position_embeddings": ("seq_length",),
    "mtp_num_layers": ("mtp_num_layers",),
    "num_experts": ("moe", "num_experts"),
    "num_moe_experts": ("moe", "num_experts"),
    "moe_router_topk": ("moe", "top_k"),
    "moe_ffn_hidden_size": ("moe", "ffn_hidden_size"),
    "moe_shared_expert_intermediate_size": ("moe", "shared_expert_ffn_hidden_size"),
    "q_lora_rank": ("mla", "q_lora_rank"),
    "kv_lora_rank": ("mla", "kv_lora_rank"),
    "qk_head_dim": ("mla", "qk_head_dim"),
    "qk_pos_emb_head_dim": ("mla", "qk_rope_head_dim"),
    "v_head_dim": ("mla", "v_head_dim"),
}
"""Megatron's names, and where each stands in a model file."""
_NOT_HERE = ("moe_layer_freq", "window_size", "num_layers_per_stage", "hybrid_override_pattern")


def apply_settings(
    model: dict[str, Any],
    settings: Mapping[str, Any],
    notes: Notes,
    *,
    error: Callable[[str, str], Exception],
) -> dict[str, Any]:
    """The model with the sizes of `settings` in place of its own; what is no size is left alone.

    `error` makes an error from a message and the name of the setting. Raises: that, for a size that
    is no whole number or has no place in the model.
    """
    changed = {
        key: dict(value) if isinstance(value, dict) else value for key, value in model.items()
    }
    said = []
    for name, value in settings.items():
        if name in _NOT_HERE and value is not None:
            raise error("has no place beside a published model; import a config.json", name)
        path = _SIZES.get(name)
        if path is None or value is None:
            continue
        if type(value) is not int or value < 0:
            raise error(f"expected a whole number, found {str(value)[:40]!r}", name)
        place = changed
        for part in path[:-1]:
            if part not in changed:
                raise error(f"the published model has no {part}", name)
            place = changed[part]
        if place.get(path[-1]) != value:
            said.append(f"{name} {value}")
        place[path[-1]] = value
    if said:
        notes.read.append(f"changed in the file: {listed(said)}")
    return changed
