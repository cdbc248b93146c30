"""Self-attention: multi-head and grouped-query, and the core that all kinds share.

Letters as in `planner.workload.workload`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.context_parallel import context_exchange
from planner.workload.core_attention import core_attention
from planner.workload.linear import column_parallel, row_parallel
from planner.workload.operators import Pointwise
from planner.workload.pointwise import residual_add

if TYPE_CHECKING:
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


def attention_operators(workload: Workload, *, local: bool) -> list[Operator]:
    """Multi-head or grouped-query self-attention with its residual add.

    Queries, keys and values are kept once. Rotated queries and keys are new tensors; values, a view
    of the projection's output, are copied, because the three no longer lie in one
    tensor, and the output goes (TransformerEngine `dot_product_attention/utils.py`,
    `get_qkv_layout`). A ring copies keys and values into the buffer that it sends
    (`context_parallel.py`).
    """
    w, model, z = workload, workload.model, workload.element_bytes
    n, t = w.tokens, w.shard.tensor
    heads = model.num_attention_heads // t
    groups = max(model.num_query_groups // t, 1)
    query, key_value = heads * model.head_dim, groups * model.head_dim
    rotary = model.position_embedding == "rope"
    rotary_passes = (1 if w.fuses("rotary") else 4) if rotary else 0
    operators: list[Operator] = []
    operators += column_parallel(
        w,
        "qkv",
        "attention",
        query + 2 * key_value,
        bias=model.qkv_bias,
        matrices=(query, key_value, key_value),
    )
    if model.qk_norm:
        operators.append(
            Pointwise(
                name="qk_norm",
                module="attention",
                saved_bytes=z * n * (query + key_value),
                parameters=_qk_norm_parameters(w, heads, groups),
                forward_bytes=2 * z * n * (query + key_value),
                backward_bytes=3 * z * n * (query + key_value),
                forward_kernels=2,
                backward_kernels=4,
            )
        )
    operators.append(
        Pointwise(
            name="query_key_value",
            module="attention",
            saved_bytes=z * n * (query + 2 * key_value),
            forward_bytes=rotary_passes * 2 * z * n * (query + key_value),
            backward_bytes=2
            * z
            * n
            * (rotary_passes * (query + key_value) + query + 2 * key_value),
            held_bytes=z * n * (3 * query + 4 * key_value if rotary else query + 2 * key_value),
            forward_kernels=2 * rotary_passes,
            backward_kernels=1 + 2 * rotary_passes,
        )
    )
    operators += core_attention(
        w,
        heads,
        model.head_dim,
        model.head_dim,
        model.attention_window if local else None,
        chunk=model.attention_chunk if local else None,
    )
    operators += context_exchange(w, z * n * query, 2 * z * n * key_value)
    operators += row_parallel(
        w, "attention_projection", "attention", query, bias=model.attention_bias
    )
    return operators + residual_add(w, "attention_residual")


def _qk_norm_parameters(workload: Workload, heads: int, groups: int) -> int:
    """As `parameters.qk_norm_parameters`, for the heads of one tensor rank."""
    model = workload.model
    if model.qk_norm_scale == "none":
        return 0
    scales = 2 if model.qk_norm_scale == "shared" else heads + groups
    return scales * model.head_dim * (1 + model.qk_norm_bias)
