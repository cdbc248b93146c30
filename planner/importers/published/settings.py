"""A published model with the settings that a recipe or a framework's file changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from planner.importers.notes import Notes, listed
from planner.importers.patterns import first_and_frequency, read_pattern

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
    "moe_router_num_groups": ("moe", "num_groups"),
    "moe_router_group_topk": ("moe", "group_top_k"),
    "moe_ffn_hidden_size": ("moe", "ffn_hidden_size"),
    "moe_shared_expert_intermediate_size": ("moe", "shared_expert_ffn_hidden_size"),
    "q_lora_rank": ("mla", "q_lora_rank"),
    "kv_lora_rank": ("mla", "kv_lora_rank"),
    "qk_head_dim": ("mla", "qk_head_dim"),
    "qk_pos_emb_head_dim": ("mla", "qk_rope_head_dim"),
    "v_head_dim": ("mla", "v_head_dim"),
}
"""Megatron's names, and their place in a model file."""
_NOT_HERE = ("window_size", "hybrid_override_pattern")
_FREQUENCY = "moe_layer_freq"


def apply_settings(
    model: dict[str, Any],
    settings: Mapping[str, Any],
    notes: Notes,
    *,
    error: Callable[[str, str], Exception],
) -> dict[str, Any]:
    """The model with the sizes of `settings` in place of its own; settings that are
    not sizes are ignored.

    `error` makes an error from a message and the name of a setting. Raises: such an error, for a
    size that is not a whole number or has no place in the model.
    """
    changed = {
        key: dict(value) if isinstance(value, dict) else value for key, value in model.items()
    }
    said = []
    for name, value in settings.items():
        if name in _NOT_HERE and value is not None:
            raise error("has no place in a published model; import a config.json", name)
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
    if settings.get(_FREQUENCY) is not None and "moe" in changed:
        changed["moe"] |= _expert_layers(changed, settings[_FREQUENCY], error)
        said.append(f"{_FREQUENCY} {str(settings[_FREQUENCY])[:40]}")
    if said:
        notes.read.append(f"changed in the file: {listed(said)}")
    return changed


def _expert_layers(
    model: Mapping[str, Any], stated: object, error: Callable[[str, str], Exception]
) -> dict[str, int]:
    """Layers with experts: a number n puts them in layers 0, n, 2n …, a list has one entry for each
    layer (Megatron-LM `gpt_layer_specs.py`)."""
    layers = model["num_layers"]
    pattern: Sequence[int] | None
    if type(stated) is int and stated > 0:
        pattern = [int(index % stated == 0) for index in range(layers)]
    else:
        text = str(list(stated)) if isinstance(stated, (list, tuple)) else str(stated)
        pattern = read_pattern(text)
    if pattern is None or len(pattern) != layers or set(pattern) - {0, 1}:
        raise error(f"{str(stated)[:60]!r} is not {layers} zeros and ones", _FREQUENCY)
    described = first_and_frequency([bool(one) for one in pattern])
    if described is None:
        raise error("experts are not in every n-th layer after the first", _FREQUENCY)
    return {"first_dense_layers": described[0], "layer_frequency": described[1]}


def batch_settings(
    settings: Mapping[str, Any],
    names: Mapping[str, str],
    notes: Notes,
    *,
    error: Callable[[str, str], Exception],
) -> dict[str, int]:
    """Whole numbers of a `training:` block; `names` maps names of the file to those of the block.
    References to other values (`${…}`) are left out, and a note says so."""
    found: dict[str, int] = {}
    for name, ours in names.items():
        value = settings.get(name)
        if value is None:
            continue
        if isinstance(value, str) and "${" in value:
            notes.left_out.append(f"{name}: {value[:60]} is known at run time only")
        elif type(value) is not int or not 1 <= value <= 10**9:
            raise error(f"expected a whole number, found {str(value)[:40]!r}", name)
        else:
            found.setdefault(ours, value)
    return found
