"""Operators bound by memory traffic that every layer has: norms, activation, residual add.

Letters as in `planner.workload.workload`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.operators import Pointwise

if TYPE_CHECKING:
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


def norm(workload: Workload, name: str, *, saves_input: bool = True) -> list[Operator]:
    w, model = workload, workload.model
    passes = 1 if w.fuses("norm") else 4
    return [
        Pointwise(
            name=name,
            module="layernorm",
            saved_bytes=w.residual_bytes() if saves_input else 0,
            parameters=model.hidden_size * (model.norm_scale + model.norm_bias),
            forward_bytes=2 * passes * w.residual_bytes(),
            backward_bytes=3 * passes * w.residual_bytes(),
            held_bytes=2 * w.residual_bytes(),
            forward_kernels=passes,
            backward_kernels=1 + passes,
        )
    ]


def latent_norm(workload: Workload, name: str, width: int) -> Pointwise:
    bytes_once = workload.element_bytes * workload.residual_tokens * width
    return Pointwise(
        name=name,
        module="attention",
        saved_bytes=bytes_once,
        parameters=width,
        forward_bytes=2 * bytes_once,
        backward_bytes=3 * bytes_once,
        backward_kernels=2,
    )


def activation(
    workload: Workload, name: str, tokens: int, width: int, *, expert: bool = False
) -> Pointwise:
    """GELU or a gated activation with its bias: reads its input (twice as wide when gated). Without
    a kernel for both, the product of gate and activation keeps the activation's output, too."""
    z = workload.element_bytes
    inputs = 2 if workload.model.gated_mlp else 1
    fused = workload.fuses("bias_activation")
    passes = 1 if fused else 2 + inputs
    made = 0 if fused else z * tokens * width * (inputs - 1)
    return Pointwise(
        name=name,
        module="moe_act" if expert else "mlp_act",
        expert=expert,
        saved_bytes=z * tokens * width * inputs + made,
        output_bytes=made,
        forward_bytes=z * tokens * width * (inputs + 1) * passes,
        backward_bytes=z * tokens * width * (2 * inputs + 1) * passes,
        held_bytes=z * tokens * width * (inputs + (1 if passes == 1 else 2)),
        forward_kernels=passes,
        backward_kernels=passes,
    )


def clamp(workload: Workload, name: str, tokens: int, width: int) -> Pointwise:
    """Both halves of a gated activation's input clamped and put together again (Megatron-LM
    `fused_bias_geglu.py`, `weighted_bias_quick_geglu_impl`): two copies each way; the clamp's
    backward pass also reads its input."""
    bytes_once = 2 * workload.element_bytes * tokens * width
    return Pointwise(
        name=name,
        module="moe_act",
        expert=True,
        saved_bytes=bytes_once,
        forward_bytes=4 * bytes_once,
        backward_bytes=5 * bytes_once,
        forward_kernels=3,
        backward_kernels=4,
    )


def residual_add(workload: Workload, name: str) -> list[Operator]:
    """Bias, dropout and the addition to the residual stream, one kernel when fused."""
    w = workload
    once = w.residual_bytes()
    mask_bytes = w.residual_tokens * w.model.hidden_size if w.dropout else 0
    passes = 1 if w.fuses("bias_dropout_add") else 2
    return [
        Pointwise(
            name=name,
            module="residual",
            saved_bytes=mask_bytes,
            forward_bytes=3 * passes * once + mask_bytes,
            backward_bytes=(2 * once + mask_bytes if w.dropout else 0) + 3 * once,
            held_bytes=2 * once,
            forward_kernels=passes,
            backward_kernels=2 if w.dropout else 1,
        )
    ]
