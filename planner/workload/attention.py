"""Self-attention: multi-head and grouped-query, and the core that all kinds share.

Letters as in `planner.workload.workload`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.linear import column_parallel, row_parallel
from planner.workload.operators import Collective, FusedAttention, Matmul, Pointwise
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


def core_attention(
    workload: Workload,
    heads: int,
    head_dim: int,
    value_dim: int,
    window: int | None,
    *,
    chunk: int | None = None,
) -> list[Operator]:
    """Softmax(QKᵀ)V, fused (keeps one fp32 log-sum-exp per query) or as separate kernels that
    materialise the scores (Korthikanti et al. 2022: 5·a·s²·b bytes with dropout). A fused kernel
    treats chunks as sequences of their own."""
    w, z = workload, workload.element_bytes
    b, s, keys = w.shard.micro_batch_size, w.local_seq_length, w.seq_length
    if chunk is not None and chunk < keys and w.software.attention == "flash":
        b, s, keys, window = b * -(-s // chunk), min(s, chunk), chunk, chunk
    sinks = heads if w.model.attention_sinks else 0
    if w.software.attention == "flash":
        return [
            FusedAttention(
                name="attention",
                module="core_attn",
                saved_bytes=4 * b * heads * s,
                parameters=sinks,
                batch=b,
                heads=heads,
                query_length=s,
                key_length=keys,
                head_dim=head_dim,
                value_dim=value_dim,
                window=window,
            )
        ]
    scores = b * heads * s * keys
    mask_bytes = 1 if w.dropout else 0
    operators: list[Operator] = [
        *(_position_biases(z * scores) if w.model.position_embedding == "alibi" else ()),
        Matmul(
            name="attention_scores",
            module="core_attn",
            m=s,
            n=keys,
            k=head_dim,
            batch=b * heads,
            weight=False,
            quantized=False,
        ),
        _softmax(w, b * heads, s, keys, parameters=sinks),
    ]
    if w.dropout:
        operators.append(
            Pointwise(
                name="attention_dropout",
                module="core_attn",
                saved_bytes=(z + mask_bytes) * scores,
                forward_bytes=(2 * z + mask_bytes) * scores,
                backward_bytes=(2 * z + mask_bytes) * scores,
            )
        )
    operators += [
        Matmul(
            name="attention_values",
            module="core_attn",
            m=s,
            n=value_dim,
            k=keys,
            batch=b * heads,
            weight=False,
            quantized=False,
        ),
        Pointwise(
            name="attention_transpose",
            module="core_attn",
            forward_bytes=2 * z * w.tokens * heads * value_dim,
            backward_bytes=2 * z * w.tokens * heads * value_dim,
        ),
    ]
    return operators


def _position_biases(scores_bytes: int) -> tuple[Operator, ...]:
    """ALiBi's biases are copied to where the scores will be and read again by the product that adds
    to them (bigscience-workshop/Megatron-DeepSpeed `transformer.py`: `torch.baddbmm`)."""
    return (
        Pointwise(
            name="position_biases",
            module="core_attn",
            forward_bytes=2 * scores_bytes,
            backward_bytes=0,
            backward_kernels=0,
        ),
    )


def _softmax(
    workload: Workload, batches: int, queries: int, keys: int, *, parameters: int
) -> Pointwise:
    """Scale, causal mask and softmax of `batches` score matrices: in one kernel or, where the
    framework has none for the shape, one after the other. With layer scaling, the softmax runs in
    fp32 between two conversions; without it, the product has already scaled the scores (Megatron-LM
    `fused_softmax.py`: `is_kernel_available`, `forward_torch_softmax`; `transformer.py`: `baddbmm`
    with `alpha`). The one kernel takes 16-bit inputs only, reads their lower triangle and writes
    zeros into the rest (`scaled_upper_triang_masked_softmax.h`).
    """
    w, z = workload, workload.element_bytes
    scores = batches * queries * keys
    fused = w.software.fused
    fits_kernel = (
        z == 2
        and fused.shortest_softmax <= keys <= fused.longest_softmax
        and queries % fused.softmax_rows == 0
        and batches % fused.softmax_rows == 0
    )
    if w.software.compile or (fused.softmax and fits_kernel):
        return Pointwise(
            name="softmax",
            module="core_attn",
            saved_bytes=z * scores,
            parameters=parameters,
            forward_bytes=1.5 * z * scores,
            backward_bytes=2 * z * scores,
        )
    scaled = fused.softmax_in_fp32
    converted = scaled and z < 4
    width = 4 if converted else z
    conversions_bytes = 2 * (z + 4) if converted else 0
    kernels = 2 + (1 if scaled else 0) + (2 if converted else 0)
    scaling_bytes = 2 * width if scaled else 0
    return Pointwise(
        name="softmax",
        module="core_attn",
        saved_bytes=width * scores,
        parameters=parameters,
        forward_bytes=(4 * width + scaling_bytes + 1 + conversions_bytes) * scores,
        backward_bytes=(5 * width + scaling_bytes + 1 + conversions_bytes) * scores,
        held_bytes=2 * width * scores,
        forward_kernels=kernels,
        backward_kernels=kernels,
    )


def context_exchange(workload: Workload, query_bytes: int, block_bytes: int) -> list[Operator]:
    """Ring exchange of keys and values among the context ranks; the backward pass sends their
    gradients along, twice the bytes (Megatron-LM `--cp-comm-type p2p`, TransformerEngine
    `AttnFuncWithCPAndKVP2P`)."""
    if workload.shard.context == 1:
        return []
    return [
        ring_merge(workload, query_bytes, block_bytes),
        *(
            Collective(
                name=f"context_exchange_{direction}",
                module="core_attn",
                operation="ring_exchange",
                axis="context",
                buffer_bytes=blocks * block_bytes,
                in_forward=direction == "forward",
                in_backward=direction == "backward",
                runs_with="attention",
                hops=workload.shard.context - 1,
            )
            for direction, blocks in (("forward", 1), ("backward", 2))
        ),
    ]


def ring_merge(workload: Workload, query_bytes: int, block_bytes: int) -> Pointwise:
    """What a ring adds up after each of its calls: the rescaled output, into an fp32 sum; in the
    backward pass, the gradients of queries, keys and values."""
    context, widened = workload.shard.context, 4 // workload.element_bytes
    return Pointwise(
        name="context_merge",
        module="core_attn",
        forward_bytes=context * (1 + 2 * widened) * query_bytes,
        backward_bytes=context * 3 * (query_bytes + block_bytes),
        forward_kernels=2 * context,
        backward_kernels=3 * context,
    )
