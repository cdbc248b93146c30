"""Finds the published model that has a model's sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.importers.published.names import all_published, published_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.specs.model.spec import ModelSpec

_EXPERTS = ("num_experts", "n_routed_experts", "num_local_experts")


def published_like(model: ModelSpec) -> str | None:
    """The name on the Hub of a model with the same layers, widths, heads, vocabulary and experts:
    the one that has the model's name where several do, else the first; None for none."""
    alike = [name for name, entry in all_published().items() if _same(entry["config"], model)]
    named = published_name(model.name)
    return named if named in alike else next(iter(alike), None)


def _same(config: Mapping[str, Any], model: ModelSpec) -> bool:
    heads = config.get("num_attention_heads")
    sizes = (
        config.get("num_hidden_layers"),
        config.get("hidden_size"),
        heads,
        config.get("num_key_value_heads", heads),
        config.get("vocab_size"),
        next((config[key] for key in _EXPERTS if config.get(key)), None),
    )
    return sizes == (
        model.num_layers,
        model.hidden_size,
        model.num_attention_heads,
        model.num_query_groups,
        model.vocab_size,
        model.moe.num_experts if model.moe else None,
    )
