"""Mixture of experts: router, token dispatch, grouped matmuls, combine, shared experts.

Letters as in `planner.workload.workload`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.workload.mlp import mlp_operators
from planner.workload.operators import Collective, GroupedMatmul, Matmul, Pointwise
from planner.workload.pointwise import activation, clamp, residual_add

if TYPE_CHECKING:
    from planner.specs.model.spec import MoeSpec
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


def moe_operators(workload: Workload) -> list[Operator]:
    """Router, token dispatch, grouped expert matmuls, combine, shared experts.

    Megatron-LM's all-to-all dispatcher: every device sends its residual tokens' top-k copies to
    the expert ranks and gathers over the expert-tensor ranks. Its all-gather dispatcher: every
    device gets all tokens of both, and picks those of its experts. `expert_imbalance` is the
    tokens of the fullest expert rank over the mean.
    """
    w, model, z = workload, workload.model, workload.element_bytes
    moe = model.moe
    assert moe is not None
    shard, h, r = w.shard, model.hidden_size, w.residual_tokens
    routed = r * moe.top_k
    received = int(routed * shard.expert_tensor * w.expert_imbalance)
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
        _route(w, moe),
        permutation(w, "dispatch", routed),
    ]
    operators += expert_exchange(w, "dispatch", routed)
    operators += [
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
        ),
        *([clamp(w, "expert_clamp", received, width)] if eager and model.activation_clamp else []),
        _activation(w, received, width, in_product=in_product),
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
        ),
    ]
    if eager and model.linear_bias:
        operators.append(output_bias(w, experts, received))
    operators += expert_exchange(w, "combine", routed)
    operators.append(permutation(w, "combine", routed))
    if moe.shared_expert_ffn_hidden_size:
        operators += mlp_operators(w, moe.shared_expert_ffn_hidden_size, "shared_expert")
        operators += shared_expert_gate(w) if moe.shared_expert_gate else []
    return operators + residual_add(w, "mlp_residual")


def exchanges(workload: Workload) -> tuple[Collective, ...]:
    """What carries tokens to their experts and back, in a mixture's layer."""
    moe = workload.model.moe
    routed = workload.residual_tokens * (moe.top_k if moe else 0)
    return tuple(
        operator
        for name in EXCHANGES
        for operator in expert_exchange(workload, name, routed)
        if isinstance(operator, Collective)
    )


def is_exchange(operator: Operator) -> bool:
    return isinstance(operator, Collective) and operator.axis in ("expert", "expert_tensor")


EXCHANGES = ("dispatch", "combine")
"""The way to the experts, and back."""


def _activation(workload: Workload, received: int, width: int, *, in_product: bool) -> Pointwise:
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
    return replace(plain, saved_bytes=plain.saved_bytes + kept * tokens * width)


def _route(workload: Workload, moe: MoeSpec) -> Pointwise:
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
    probabilities and biases, each written and read again for its sum.
    """
    z, elements = workload.element_bytes, tokens * workload.model.hidden_size
    return Pointwise(
        name="expert_bias",
        module="experts",
        expert=True,
        forward_bytes=elements * (4 + (z + 4 + 4) + (4 + 4) + (4 + z)),
        backward_bytes=elements * (2 * (z + 4) + 2 * z + 2 * (4 + 4 + 4)),
        forward_kernels=2 * experts + 2,
        backward_kernels=7 * experts + 2,
    )


def permutation(workload: Workload, name: str, routed: int) -> Pointwise:
    """Sorting tokens by destination, and again by expert on arrival; on the way back, the copies of
    a token are also multiplied by their weights and added up in fp32. One kernel each way when
    fused (Megatron-LM `moe_utils.py` `permute`, `sort_chunks_by_idxs`, `unpermute`)."""
    bytes_once = workload.element_bytes * routed * workload.model.hidden_size
    passes = 1 if workload.software.expert.fused_permutation else 2
    if name == "combine" and passes > 1:
        passes += 2
    return Pointwise(
        name=f"{name}_permute",
        module="moe",
        expert=True,
        forward_bytes=2 * passes * bytes_once,
        backward_bytes=2 * passes * bytes_once,
        held_bytes=2 * bytes_once,
        forward_kernels=2 * passes,
        backward_kernels=2 * passes,
    )


def expert_exchange(workload: Workload, name: str, routed: int) -> list[Operator]:
    """All-to-all over the expert ranks, then a gather (or reduce-scatter) over the expert-tensor
    ranks."""
    shard = workload.shard
    if workload.dispatcher_name == "allgather":
        return gathered_exchange(workload, name)
    buffer_bytes = workload.element_bytes * routed * workload.model.hidden_size
    operators: list[Operator] = []
    moe, dispatcher = workload.model.moe, workload.dispatcher
    assert moe is not None
    dispatch = name == "dispatch"
    if shard.expert > 1:
        operators.append(
            Collective(
                name=f"{name}_all_to_all",
                module="moe",
                expert=True,
                operation="all_to_all",
                axis="expert",
                buffer_bytes=int(buffer_bytes * workload.expert_imbalance),
                in_forward=True,
                in_backward=True,
                copies=workload.token_copies,
                calls=dispatcher.calls if dispatch else 1,
                launch_s=dispatcher.dispatch_launch.value if dispatch else 0.0,
                network_efficiency=dispatcher.network_efficiency,
                multiprocessors=dispatcher.multiprocessors.value,
                num_groups=moe.num_groups,
                group_top_k=moe.group_top_k,
            )
        )
    if shard.expert_tensor > 1:
        operators.append(
            Collective(
                name=f"{name}_expert_tensor",
                module="moe",
                expert=True,
                operation="all_gather" if name == "dispatch" else "reduce_scatter",
                axis="expert_tensor",
                buffer_bytes=buffer_bytes * shard.expert_tensor,
                in_forward=True,
                in_backward=True,
            )
        )
    return operators


def gathered_exchange(workload: Workload, name: str) -> list[Operator]:
    """Tokens of all expert and expert-tensor ranks are gathered, or their outputs are summed and
    scattered; the backward pass does the opposite (Megatron-LM `MoEAllGatherTokenDispatcher`)."""
    shard = workload.shard
    operators: list[Operator] = []
    tokens_bytes = workload.residual_bytes()
    gathering = name == "dispatch"
    for axis, ranks in (("expert", shard.expert), ("expert_tensor", shard.expert_tensor)):
        tokens_bytes *= ranks
        for forward in (True, False) if ranks > 1 else ():
            operators.append(
                Collective(
                    name=f"{name}_{axis}_{'forward' if forward else 'backward'}",
                    module="moe",
                    expert=True,
                    operation="all_gather" if forward == gathering else "reduce_scatter",
                    axis=axis,
                    buffer_bytes=tokens_bytes,
                    in_forward=forward,
                    in_backward=not forward,
                )
            )
    return operators
