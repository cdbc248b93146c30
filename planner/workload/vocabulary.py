"""The two ends of a model: token embedding, and output projection with the loss.

Letters as in `planner.workload.workload`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.formats import gradient_bytes
from planner.workload.linear import column_parallel, tensor_collective
from planner.workload.operators import Pointwise
from planner.workload.pointwise import norm

if TYPE_CHECKING:
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


def embedding_operators(workload: Workload) -> list[Operator]:
    """Token (and position) lookup; the backward pass scatters into a dense gradient and adds it to
    the main gradient (PyTorch `embedding_dense_backward`). Positions belong to the first stage
    where all stages share the vocabulary, not to each part."""
    w, model, z = workload, workload.model, workload.element_bytes
    h, n, t = model.hidden_size, w.tokens, w.shard.tensor
    whole, table = z * n * h, w.vocabulary_rows * h
    learned = w.learned_positions if w.shard.vocabulary == 1 else 0
    dropout_bytes = w.residual_tokens * h if w.dropout else 0
    operators: list[Operator] = [
        Pointwise(
            name="embedding",
            module="embedding",
            saved_bytes=8 * n + dropout_bytes,
            parameters=table + learned,
            forward_bytes=(4 if learned else 2) * whole + 3 * dropout_bytes,
            backward_bytes=3 * whole + table * 2 * (z + gradient_bytes(w.software, w.precision)),
            forward_kernels=3,
            backward_kernels=6,
        )
    ]
    if model.embedding_norm:
        operators += norm(w, "embedding_norm")
    if t > 1:
        operation = "reduce_scatter" if w.shard.sequence_parallel else "all_reduce"
        operators.append(tensor_collective("embedding_reduce", operation, whole, True, None))
        if w.shard.sequence_parallel:
            operators.append(
                tensor_collective("embedding_gather", "all_gather", whole, False, None)
            )
    return operators


def head_operators(workload: Workload) -> list[Operator]:
    """Final norm, vocabulary projection and cross-entropy.

    Megatron-LM's `vocab_parallel_cross_entropy` converts the logits to fp32, keeps the
    probabilities, and walks over them in separate kernels: conversion (z + 4 bytes per logit),
    maximum (4), subtraction (8), exponential (8), sum (4), division (8), and 8 more for every copy
    of them. Compiled (`fused_cross_entropy.py`), subtraction and exponential are one kernel, and so
    is the backward pass, except where all stages share the vocabulary
    (sail-sg/VocabularyParallelism `cross_entropy.py`). A loss that keeps the 16-bit logits
    (`Workload.keeps_logits`) is assumed to move as much as one that keeps fp32 probabilities; the
    step times of small models agree with that. TransformerEngine's reads the 16-bit logits twice
    (largest and sum in one pass, then the probabilities) and writes the gradient over them; its
    backward pass reads and writes that once more (`common/triton/cross_entropy.py`).
    """
    w, z = workload, workload.element_bytes
    t, n, chunks = w.shard.tensor, w.tokens, workload.loss_chunks
    logits = n * w.vocabulary_rows
    fused = w.fuses_loss and w.shard.vocabulary == 1
    copied_bytes = 0 if fused else 8 * w.loss_copies
    projection = column_parallel(
        w,
        "logits",
        "head",
        w.vocabulary_rows,
        bias=w.model.head_bias,
        quantized=w.precision in w.software.fp8.output_layer,
    )
    # Where all stages share the vocabulary, the last one runs the norm before it sends its output.
    operators = [*(norm(w, "final_norm") if w.shard.vocabulary == 1 else ()), *projection]
    operators.append(
        Pointwise(
            name="cross_entropy",
            module="logits",
            saved_bytes=z * logits // chunks,
            forward_bytes=logits * 3 * z,
            backward_bytes=logits * 2 * z,
            forward_kernels=3 * chunks,
            backward_kernels=chunks,
        )
        if w.loss_in_place
        else Pointwise(
            name="cross_entropy",
            module="logits",
            saved_bytes=(z if w.keeps_logits else 4) * logits // chunks,
            forward_bytes=logits * (z + 4 + 4 + (8 if fused else 16) + 4 + 8 + copied_bytes),
            backward_bytes=logits * ((4 + z) if fused else (8 + 4 + z)),
            forward_kernels=chunks * (6 if fused else 12),
            backward_kernels=chunks * (1 if fused else 4),
        )
    )
    if chunks > 1:
        operators.append(_chunked(w))
    if t > 1:
        operators.append(tensor_collective("loss_reduce", "all_reduce", 3 * 4 * n, True, None))
    return operators


def _chunked(workload: Workload) -> Operator:
    """What chunks add: each is copied out of the output of the last layer, and its gradient into
    one that stays until that layer's backward pass (pytorch/torchtitan `components/loss.py`,
    `ChunkedLossWrapper`; linkedin/Liger-Kernel `fused_linear_cross_entropy.py`)."""
    hidden_bytes = workload.element_bytes * workload.tokens * workload.model.hidden_size
    return Pointwise(
        name="loss_chunks",
        module="head",
        saved_bytes=hidden_bytes,
        forward_bytes=2 * hidden_bytes,
        backward_bytes=2 * hidden_bytes,
        held_bytes=0,
        forward_kernels=workload.loss_chunks,
        backward_kernels=workload.loss_chunks,
    )
