"""Which tensor degrees divide the heads of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.errors import RuleError

if TYPE_CHECKING:
    from planner.specs.model.spec import ModelSpec

_MOST_NAMED = 8
"""Valid degrees that a message lists."""


def check_heads(model: ModelSpec, tensor: int) -> None:
    """Engines refuse shares of a head: vllm/config/model.py, verify_with_parallel_config;
    vllm/model_executor/models/llama.py; sglang, layers/dp_attention.py and models/llama.py.
    Raises: RuleError("heads")."""
    if divides_heads(model, tensor):
        return
    heads, groups = model.num_attention_heads, model.num_query_groups
    valid = [str(one) for one in range(1, heads + 1) if divides_heads(model, one)]
    text = (
        f"tensor degree {tensor} does not divide the {heads} attention heads"
        if heads % tensor
        else f"tensor degree {tensor} and {groups} KV heads: one has to divide the other"
    )
    more = ", …" if len(valid) > _MOST_NAMED else ""
    raise RuleError("heads", text, hint=f"valid are {', '.join(valid[:_MOST_NAMED])}{more}")


def divides_heads(model: ModelSpec, tensor: int) -> bool:
    """Whether every device of a tensor group gets whole heads."""
    heads, groups = model.num_attention_heads, model.num_query_groups
    if heads % tensor:
        return False
    return model.mla is not None or groups % tensor == 0 or tensor % groups == 0
