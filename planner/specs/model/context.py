"""Sequences that are longer than a model is made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.specs.model.spec import ModelSpec


def longer_than_made_for(model: ModelSpec, tokens: int) -> str | None:
    """A length in tokens beside the longest that the model's file says it is made for; None where
    it is not longer, or where the file does not say."""
    if model.seq_length is None or tokens <= model.seq_length:
        return None
    return f"{tokens:,} tokens, although {model.name} is made for {model.seq_length:,} (seq_length)"
