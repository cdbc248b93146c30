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


def vocabularies_like(
    *,
    layers: int | None,
    hidden: int | None,
    heads: int | None,
    ffn: int | None,
    experts: int | None,
) -> dict[str, int]:
    """The vocabularies of the published models with these layers and widths, by their names on the
    Hub. `ffn`: the width of an expert where there are experts."""
    width = "intermediate_size" if experts is None else "moe_intermediate_size"
    return {
        name: entry["config"]["vocab_size"]
        for name, entry in all_published().items()
        if (layers, hidden, heads, ffn, experts)
        == (
            entry["config"].get("num_hidden_layers"),
            entry["config"].get("hidden_size"),
            entry["config"].get("num_attention_heads"),
            entry["config"].get(width, entry["config"].get("intermediate_size")),
            _experts(entry["config"]),
        )
    }


def _experts(config: Mapping[str, Any]) -> int | None:
    return next((config[key] for key in _EXPERTS if config.get(key)), None)


def _same(config: Mapping[str, Any], model: ModelSpec) -> bool:
    heads = config.get("num_attention_heads")
    sizes = (
        config.get("num_hidden_layers"),
        config.get("hidden_size"),
        heads,
        config.get("num_key_value_heads", heads),
        config.get("vocab_size"),
        _experts(config),
    )
    return sizes == (
        model.num_layers,
        model.hidden_size,
        model.num_attention_heads,
        model.num_query_groups,
        model.vocab_size,
        model.moe.num_experts if model.moe else None,
    )
