"""The model types that can be read: the family that builds each, and the class whose defaults it
takes.

`num_nextn_predict_layers` has no default: older files leave it out because their class had no such
key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planner.importers.huggingface.classes import READ
from planner.importers.huggingface.facts import facts
from planner.importers.huggingface.families.common import Family

_LIKE = {
    "gemma3": "gemma3_text",
    "kimi_k2": "deepseek_v3",
    "qwen2_vl": "qwen2_vl_text",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "RefinedWebModel": "falcon",
    "RefinedWeb": "falcon",
}
"""Other names for a type."""

_OTHER_DEFAULTS: dict[str, Mapping[str, Any]] = {
    "RefinedWeb": {"new_decoder_architecture": True},
    "bloom": {"hidden_act": "gelu"},
    "mpt": {"hidden_act": "gelu"},
}
"""What the class fixes without a key."""


def _family(name: str) -> Family:
    like = _LIKE.get(name, name)
    architecture, fill = READ[like]
    class_name, defaults = facts().classes[like]
    return Family(
        architecture=architecture,
        class_name=class_name,
        defaults={**defaults, **_OTHER_DEFAULTS.get(name, {})},
        fill=fill,
    )


TYPES: dict[str, Family] = {name: _family(name) for name in (*READ, *_LIKE)}
