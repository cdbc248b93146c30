"""Bytes of one layer on one device: parameters, and what a microbatch leaves behind in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.workload.operators import (
    Collective,
    FusedAttention,
    GroupedMatmul,
    Matmul,
    Operator,
    Pointwise,
)
from planner.workload.recompute import selective

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.workload.recompute import Selective
    from planner.workload.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMemory:
    """Per device. Saved bytes are per microbatch in flight, by recompute granularity:
    `saved_bytes` (none), `selective_bytes`, `full_bytes` (only the layer's input). `logits_bytes`
    are kept from the loss's forward to its backward pass, `logits_working_bytes` live beside them
    for a moment. `working_bytes` is the most that gradients and gathered inputs take at once
    during the layer's backward pass."""

    dense_parameters: int
    expert_parameters: int
    saved_bytes: int
    selective_bytes: int
    full_bytes: int
    logits_bytes: int
    logits_working_bytes: int
    working_bytes: int


def layer_memory(
    workload: Workload,
    operators: Sequence[Operator],
    effects: Sequence[Selective] | None = None,
) -> LayerMemory:
    """Korthikanti et al. 2022, section 4, tensor by tensor (see `planner.workload`). `effects`:
    what selective recomputation does to the operators, where that is known already."""
    dense = expert = saved = kept = logits = logits_working = working = 0
    for operator, effect in zip(operators, effects or selective(workload, operators), strict=True):
        if operator.expert:
            expert += operator.parameters
        else:
            dense += operator.parameters
        if operator.module == "logits":
            logits += operator.saved_bytes
            logits_working += _logits_working_bytes(operator, workload)
        else:
            saved += operator.saved_bytes
            kept += effect.kept_bytes
            working = max(working, _working_bytes(operator, workload))
    return LayerMemory(
        dense_parameters=dense,
        expert_parameters=expert,
        saved_bytes=saved,
        selective_bytes=kept,
        full_bytes=workload.residual_bytes(),
        logits_bytes=logits,
        logits_working_bytes=logits_working,
        working_bytes=working,
    )


def _logits_working_bytes(operator: Operator, workload: Workload) -> int:
    """The 16-bit logits (or their gradient) beside the saved fp32 probabilities, and the copies
    that an uncompiled loss makes of these; nothing beside logits that become their gradient."""
    if workload.loss_in_place:
        return 0
    fused = workload.software.fused
    copies = 0 if workload.fuses_loss else fused.loss_copies
    return operator.saved_bytes * workload.element_bytes // 4 + operator.saved_bytes * copies


def _working_bytes(operator: Operator, workload: Workload) -> int:
    """Gradient of an operator's output and of its input at the same time; for a column-parallel
    matmul under sequence parallelism the gathered input as well. The gradient of logits may lie
    where they were saved."""
    z = workload.element_bytes
    match operator:
        case Matmul():
            gathered = workload.shard.sequence_parallel and operator.weight
            inputs = operator.m * operator.k * (2 if gathered else 1)
            in_place = operator.module == "head" and workload.loss_in_place
            outputs = 0 if in_place else operator.m * operator.n
            return z * operator.batch * (outputs + inputs)
        case GroupedMatmul():
            return z * operator.m * (operator.n + operator.k)
        case FusedAttention():
            tokens = operator.batch * operator.query_length * operator.heads
            return tokens * (2 * z + 4) * (operator.head_dim + operator.value_dim)
        case Pointwise():
            return (
                int(operator.backward_bytes) - operator.saved_bytes
                if (operator.module != "embedding")
                else 0
            )
        case Collective():
            return operator.buffer_bytes if operator.in_backward else 0
    raise TypeError(operator)
