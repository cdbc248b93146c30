"""Which tensor degrees divide the heads of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.errors import RuleError

if TYPE_CHECKING:
    from planner.specs.model.spec import ModelSpec


def check_heads(model: ModelSpec, tensor: int) -> None:
    """Engines refuse shares of a head: vllm/config/model.py, verify_with_parallel_config;
    vllm/model_executor/models/llama.py; sglang, layers/dp_attention.py and models/llama.py.
    Raises: RuleError("heads")."""
    heads, groups = model.num_attention_heads, model.num_query_groups
    if heads % tensor:
        raise RuleError(
            "heads", f"tensor degree {tensor} does not divide the {heads} attention heads"
        )
    if model.mla is None and groups % tensor and tensor % groups:
        raise RuleError(
            "heads",
            f"tensor degree {tensor} and {groups} KV heads: one has to divide the other",
        )


def divides_heads(model: ModelSpec, tensor: int) -> bool:
    """Whether every device of a tensor group gets whole heads."""
    try:
        check_heads(model, tensor)
    except RuleError:
        return False
    return True
