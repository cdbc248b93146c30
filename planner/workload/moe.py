"""Mixture of experts: router, token dispatch, grouped matmuls, combine, shared experts.

Letters as in `planner.workload.workload`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.workload.expert_exchange import divided, expert_exchange, permutation
from planner.workload.expert_parts import (
    SHARED_EXPERT,
    activation_in_products,
    output_bias,
    route,
    shared_expert_gate,
)
from planner.workload.mlp import mlp_operators
from planner.workload.operators import GroupedMatmul, Matmul
from planner.workload.pointwise import clamp, residual_add

if TYPE_CHECKING:
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


def moe_operators(workload: Workload) -> list[Operator]:
    """Router, token dispatch, grouped expert matmuls, combine, shared experts.

    Megatron-LM's all-to-all dispatcher: every device sends its residual tokens' top-k copies to
    the expert ranks and gathers over the expert-tensor ranks. Its all-gather dispatcher: every
    device gets all tokens of both, and picks those of its experts. `expert_load` is the tokens
    of the fullest expert rank over the mean.
    """
    w, model, z = workload, workload.model, workload.element_bytes
    moe = model.moe
    assert moe is not None
    shard, h, r = w.shard, model.hidden_size, w.residual_tokens
    routed = r * moe.top_k
    received = int(routed * shard.expert_tensor * w.expert_load)
    experts = moe.num_experts // shard.expert
    width = moe.ffn_hidden_size // shard.expert_tensor
    projections = 2 if model.gated_mlp else 1
    eager = not (w.software.expert.fused_biases or w.compiled)
    in_product = w.software.expert.fused_mlp and w.quantized
    operators: list[Operator] = [
        Matmul(
            name="router",
            module="moe",
            parameters=moe.num_experts * (h + moe.router_bias),
            saved_bytes=z * r * h + 8 * r * moe.num_experts,
            m=r,
            n=moe.num_experts,
            k=h,
            quantized=False,
        ),
        route(w, moe),
        permutation(w, "dispatch", routed),
        *divided(w, "dispatch", routed),
    ]
    operators += expert_exchange(w, "dispatch", routed)
    pieces = shard.dispatch_pieces
    in_flight_bytes = z * received * h * (pieces - 1) // pieces
    products: list[Operator] = [
        GroupedMatmul(
            name="expert_up",
            module="experts",
            expert=True,
            saved_bytes=int(w.operand_bytes * received * h),
            parameters=experts
            * (h * projections * width + model.linear_bias * projections * width),
            groups=experts,
            m=received,
            n=projections * width,
            k=h,
            gradient_quantized=in_product,
            in_flight_bytes=in_flight_bytes,
        ),
        *([clamp(w, "expert_clamp", received, width)] if eager and model.activation_clamp else []),
        activation_in_products(w, received, width, in_product=in_product),
        GroupedMatmul(
            name="expert_down",
            module="experts",
            expert=True,
            saved_bytes=int(w.operand_bytes * received * width),
            parameters=experts * (width * h + model.linear_bias * h),
            groups=experts,
            m=received,
            n=h,
            k=width,
            input_quantized=in_product,
            in_flight_bytes=in_flight_bytes,
        ),
    ]
    if eager and model.linear_bias:
        products.append(output_bias(w, experts, received))
    operators += [replace(one, pieces=pieces) for one in products] if pieces > 1 else products
    operators += expert_exchange(w, "combine", routed)
    operators += divided(w, "combine", routed)
    operators.append(permutation(w, "combine", routed))
    if moe.shared_expert_ffn_hidden_size:
        operators += mlp_operators(w, moe.shared_expert_ffn_hidden_size, SHARED_EXPERT)
        operators += shared_expert_gate(w) if moe.shared_expert_gate else []
    return operators + residual_add(w, "mlp_residual")
