"""Kernels of a mixture around the products of its experts: router, activation, gate, biases.

Letters as in `planner.workload.workload`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.workload.operators import Collective, Matmul, Pointwise
from planner.workload.pointwise import activation

if TYPE_CHECKING:
    from planner.specs.model.spec import MoeSpec
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


SHARED_EXPERT = "shared_expert"
"""How the names of the shared experts' operators begin."""


def is_shared(operator: Operator) -> bool:
    """Whether an operator is the shared experts'; their collectives are not."""
    return operator.name.startswith(SHARED_EXPERT) and not isinstance(operator, Collective)


def is_first(operator: Operator) -> bool:
    """Whether an operator of the shared experts is their first product, or the activation."""
    return operator.name.removeprefix(SHARED_EXPERT) in ("_up", "_activation")


def activation_in_products(
    workload: Workload, received: int, width: int, *, in_product: bool
) -> Pointwise:
    """The activation at the experts' inner width. In the epilogue of the experts' products, it
    reads nothing in the forward pass and the kept tensors in the backward pass, and writes the next
    product's operand in both orientations (TransformerEngine, `NVTE_CUTEDSL_FUSED_GROUPED_MLP`)."""
    apart = weighed_activation(workload, received, width)
    if not in_product:
        return apart
    gates = 2 if workload.model.gated_mlp else 1
    written = 2 * workload.operand_bytes * received * width
    return replace(
        apart,
        forward_bytes=written,
        backward_bytes=gates * (workload.element_bytes * received * width + written),
        forward_kernels=0,
        backward_kernels=0,
    )


def weighed_activation(workload: Workload, tokens: int, width: int) -> Pointwise:
    """The activation of the experts, multiplied by the router's probabilities. Where a separate
    kernel multiplies them, its backward pass reads the activation's output, in the type of the
    product; the next product does not keep that tensor (Megatron-LM `experts.py`, `bias_act_func`:
    plain activations; a gated one has a kernel for both, `fused_bias_swiglu.py`)."""
    w, expert = workload, workload.software.expert
    plain = activation(w, "expert_activation", tokens, width, expert=True)
    if w.model.gated_mlp or not expert.weighs_activation:
        return plain
    kept = 4 if expert.fp32_probabilities else w.element_bytes
    made = kept * tokens * width
    return replace(plain, saved_bytes=plain.saved_bytes + made, output_bytes=made)


def route(workload: Workload, moe: MoeSpec) -> Pointwise:
    """Scores, choice of experts, preparation of the dispatch, counted in Megatron-LM d98e8a64:
    `router.py`, `moe_utils.py` (`topk_routing_with_score_function`: softmax, top-k, two zeros and
    scatters, casts), `token_dispatcher.py` (`preprocess`: sums, transpose, slice, index, the copies
    to the host). Sigmoid scores with biases of experts add 12 and 6; an auxiliary loss 15 and 10.
    """
    more = (12, 6) if moe.score_function == "sigmoid" else (15, 10)
    fused = workload.software.expert.fused_router
    return Pointwise(
        name="route",
        module="moe",
        forward_bytes=12 * workload.residual_tokens * moe.num_experts,
        backward_bytes=12 * workload.residual_tokens * moe.num_experts,
        forward_kernels=10,
        backward_kernels=8,
        forward_launches=None if fused else 29 + more[0],
        backward_launches=None if fused else 12 + more[1],
    )


def shared_expert_gate(workload: Workload) -> list[Operator]:
    """One weight per token, the sigmoid of a projection, multiplied with the shared experts' output
    (Megatron-LM `moe/shared_experts.py`, `gate_weight`)."""
    w, h = workload, workload.model.hidden_size
    output_bytes = w.residual_bytes()
    return [
        Matmul(
            name="shared_expert_gate",
            module="shared_experts",
            parameters=h,
            m=w.residual_tokens,
            n=1,
            k=h,
            quantized=False,
        ),
        Pointwise(
            name="shared_expert_weigh",
            module="shared_experts",
            saved_bytes=output_bytes,
            forward_bytes=2 * output_bytes,
            backward_bytes=3 * output_bytes,
            forward_kernels=2,
            backward_kernels=3,
        ),
    ]


def output_bias(workload: Workload, experts: int, tokens: int) -> Pointwise:
    """Each expert's bias, multiplied by every token's fp32 probability and added to its tokens
    (Megatron-LM `experts.py`, `TEGroupedMLP._apply_bias`).

    Forward: the weighted bias is written, read and added to the output in fp32; the experts' parts
    are joined and converted back. Backward: conversions, joining the parts, and the products with
    probabilities and biases, each written and read again for its sum. Products with a bias or a
    probability, which are spread over tokens or columns, reach `broadcast_share` of the rate.
    """
    z, elements = workload.element_bytes, tokens * workload.model.hidden_size
    slower = 1 / workload.software.expert.broadcast_share.value
    return Pointwise(
        name="expert_bias",
        module="experts",
        expert=True,
        forward_bytes=elements * (slower * 4 + (z + 4 + 4) + (4 + 4) + (4 + z)),
        backward_bytes=elements * (2 * (z + 4) + 2 * z + 2 * (slower * (4 + 4) + 4)),
        forward_kernels=2 * experts + 2,
        backward_kernels=7 * experts + 2,
    )
