"""The core of attention, from queries, keys and values to the output, fused or in parts.

Letters as in `planner.workload.workload`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.operators import FusedAttention, Matmul, Pointwise

if TYPE_CHECKING:
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


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
    treats chunks, and packed sequences, as sequences of their own."""
    w, z = workload, workload.element_bytes
    b, s, keys = w.shard.micro_batch_size, w.local_seq_length, w.seq_length
    heads, s = max(heads // w.context_heads, 1), s * w.context_heads
    if chunk is not None and chunk < keys and w.software.attention == "flash":
        b, s, keys, window = b * -(-s // chunk), min(s, chunk), chunk, chunk
    if w.packed_length is not None and w.software.attention == "flash":
        keys = min(keys, w.packed_length)
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
            forward_bytes=2 * z * b * s * heads * value_dim,
            backward_bytes=2 * z * b * s * heads * value_dim,
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
