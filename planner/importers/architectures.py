"""Every default of an architecture written out, so that a model file assumes nothing."""

from __future__ import annotations

from typing import Any

from planner.specs.architecture import ARCHITECTURES

_FIELDS = (
    "norm",
    "norms_per_layer",
    "gated_mlp",
    "activation",
    "linear_bias",
    "qkv_bias",
    "attention_bias",
    "parallel_attention",
    "qk_norm",
    "attention_sinks",
    "embedding_norm",
    "position_embedding",
    "tie_embeddings",
)


def spelled_out(architecture: str) -> dict[str, Any]:
    """The fields of a model file that an architecture decides, with its values."""
    chosen = ARCHITECTURES[architecture]
    return {name: getattr(chosen, name) for name in _FIELDS}
