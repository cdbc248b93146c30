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
    """Per device. Saved bytes are per microbatch in flight, by recompute granularity: `saved_bytes`
    (none), `selective_bytes`, `full_bytes` (only the layer's input); `movable_bytes` and
    `selective_movable_bytes` are those of the first two that may be offloaded. `logits_bytes` are
    kept from the loss's forward to its backward pass; `logits_working_bytes` live for a moment in
    addition. `working_bytes` is the most that gradients of activations and gathered inputs take at
    once during the layer's backward pass; `backward_bytes` adds the gradient of a weight on its way
    into the main gradient."""

    dense_parameters: int
    expert_parameters: int
    saved_bytes: int
    selective_bytes: int
    full_bytes: int
    movable_bytes: int
    selective_movable_bytes: int
    logits_bytes: int
    logits_working_bytes: int
    working_bytes: int
    backward_bytes: int

    def __add__(self, other: LayerMemory) -> LayerMemory:
        """Of two parts of a layer that follow each other."""
        return LayerMemory(
            dense_parameters=self.dense_parameters + other.dense_parameters,
            expert_parameters=self.expert_parameters + other.expert_parameters,
            saved_bytes=self.saved_bytes + other.saved_bytes,
            selective_bytes=self.selective_bytes + other.selective_bytes,
            full_bytes=self.full_bytes,
            movable_bytes=self.movable_bytes + other.movable_bytes,
            selective_movable_bytes=self.selective_movable_bytes + other.selective_movable_bytes,
            logits_bytes=self.logits_bytes + other.logits_bytes,
            logits_working_bytes=self.logits_working_bytes + other.logits_working_bytes,
            working_bytes=max(self.working_bytes, other.working_bytes),
            backward_bytes=max(self.backward_bytes, other.backward_bytes),
        )


def layer_memory(
    workload: Workload,
    operators: Sequence[Operator],
    effects: Sequence[Selective] | None = None,
) -> LayerMemory:
    """Korthikanti et al. 2022, section 4, tensor by tensor (see `planner.workload`). `effects`:
    what selective recomputation does to the operators, if that is known already."""
    dense = expert = saved = kept = logits = logits_working = working = backward = 0
    movable = kept_movable = 0
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
            movable += effect.movable_bytes
            kept_movable += effect.kept_movable_bytes
            once = _working_bytes(operator, workload)
            working = max(working, once)
            backward = max(backward, once + _weight_gradient_bytes(operator, workload))
    return LayerMemory(
        dense_parameters=dense,
        expert_parameters=expert,
        saved_bytes=saved,
        selective_bytes=kept,
        full_bytes=workload.residual_bytes(),
        movable_bytes=movable,
        selective_movable_bytes=kept_movable,
        logits_bytes=logits,
        logits_working_bytes=logits_working,
        working_bytes=working,
        backward_bytes=backward,
    )


def _weight_gradient_bytes(operator: Operator, workload: Workload) -> int:
    """The gradient of a weight in the type of the weight, which lives until it is added to the main
    gradient. Where the product adds to the main gradient itself, autograd still gets a tensor of
    that size (Megatron-LM `tensor_parallel/layers.py`, `grad_added_to_main_grad`). It is 0 where
    such gradients, or placeholders of them, stay for the whole job."""
    if workload.software.keeps_local_gradients or not isinstance(operator, Matmul | GroupedMatmul):
        return 0
    kept = workload.keeps_placeholders and is_layer_weight(operator)
    return 0 if kept else workload.element_bytes * operator.parameters


def layer_weights(workload: Workload, operators: Sequence[Operator]) -> dict[str, tuple[int, int]]:
    """Shapes of the weights whose gradients have placeholders, by the name of the product; none
    where a framework keeps none (TransformerEngine `module/base.py`, `get_dummy_wgrad`: one tensor
    per shape and type for all layers; the experts of a device share one)."""
    if not workload.keeps_placeholders:
        return {}
    return {
        operator.name: (operator.n, operator.k)
        for operator in operators
        if isinstance(operator, Matmul | GroupedMatmul) and is_layer_weight(operator)
    }


def is_layer_weight(operator: Operator) -> bool:
    """Whether a product's weight is one of the large matrices of a layer, which frameworks hand to
    their libraries of linear layers: not the head's, the router's or a gate's."""
    if isinstance(operator, GroupedMatmul):
        return True
    return (
        isinstance(operator, Matmul)
        and operator.weight
        and operator.quantized
        and operator.module != "head"
    )


def _logits_working_bytes(operator: Operator, workload: Workload) -> int:
    """What lives in addition to what the loss saves. With saved fp32 probabilities: the 16-bit
    logits (or their gradient), and the copies that a loss makes of the probabilities. With saved
    logits: their gradient. With logits that become their gradient: nothing."""
    if workload.loss_in_place:
        return 0
    if workload.keeps_logits:
        return operator.saved_bytes
    saved = operator.saved_bytes
    return saved * workload.element_bytes // 4 + saved * workload.loss_copies


def _working_bytes(operator: Operator, workload: Workload) -> int:
    """Gradient of an operator's output and of its input at the same time; for a column-parallel
    matmul under sequence parallelism, also the gathered input. The gradient of logits may take the
    place of the saved logits."""
    z = workload.element_bytes
    match operator:
        case Matmul():
            gathered = workload.shard.sequence_parallel and operator.weight
            inputs = operator.m * operator.k * (2 if gathered else 1)
            in_place = operator.module == "head" and workload.loss_in_place
            outputs = 0 if in_place else operator.m * operator.n
            if operator.module == "head" and operator.name == "logits":
                outputs, inputs = outputs // workload.loss_chunks, inputs // workload.loss_chunks
            return z * operator.batch * (outputs + inputs)
        case GroupedMatmul():
            return z * operator.m * (operator.n + operator.k) + operator.in_flight_bytes
        case FusedAttention():
            tokens = operator.batch * operator.query_length * operator.heads
            return tokens * (2 * z + 4) * (operator.head_dim + operator.value_dim)
        case Pointwise() if operator.module == "embedding":
            return 0
        case Pointwise() if operator.held_bytes is not None:
            return operator.held_bytes
        case Pointwise():
            return int(operator.backward_bytes) - operator.saved_bytes
        case Collective():
            return operator.buffer_bytes if operator.in_backward else 0
    raise TypeError(operator)
