"""How tokens travel to their experts and back: all-to-all, or gathered by all ranks.

Letters as in `planner.workload.workload`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.operators import Collective, Pointwise

if TYPE_CHECKING:
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


EXCHANGES = DISPATCH, COMBINE = ("dispatch", "combine")
"""The way to the experts, and back."""
SHARED_EXPERTS = "shared_experts"
"""What an exchange runs with where the framework has the shared experts beside it."""


def is_exchange(operator: Operator) -> bool:
    """Whether an operator carries tokens to their experts or back."""
    return isinstance(operator, Collective) and operator.axis in ("expert", "expert_tensor")


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


def divided(workload: Workload, name: str, routed: int) -> list[Operator]:
    """Cutting the sorted tokens into pieces that are contiguous, or joining what came back: one
    copy each way (microsoft/tutel `impls/overlap.py`; InternLM/InternEvo `overlap_moe_forward`)."""
    if workload.shard.dispatch_pieces == 1:
        return []
    bytes_once = workload.element_bytes * routed * workload.model.hidden_size
    return [
        Pointwise(
            name=f"{name}_pieces",
            module="moe",
            forward_bytes=2 * bytes_once,
            backward_bytes=2 * bytes_once,
            held_bytes=2 * bytes_once,
        )
    ]


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
    dispatch = name == DISPATCH
    if shard.expert > 1:
        operators.append(
            Collective(
                name=f"{name}_all_to_all",
                module="moe",
                expert=True,
                operation="all_to_all",
                axis="expert",
                buffer_bytes=int(buffer_bytes * workload.expert_load),
                in_forward=True,
                in_backward=True,
                runs_with=SHARED_EXPERTS if _beside_shared(workload) else "",
                copies=workload.token_copies,
                calls=shard.dispatch_pieces * (dispatcher.calls if dispatch else 1),
                launch_s=shard.dispatch_pieces * dispatcher.dispatch_launch.value
                if dispatch
                else 0.0,
                pieces=shard.dispatch_pieces,
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
                calls=shard.dispatch_pieces,
                pieces=shard.dispatch_pieces,
            )
        )
    return operators


def _beside_shared(workload: Workload) -> bool:
    """Whether shared experts run beside exchanges: not where another microbatch does
    (Megatron-LM transformer_config.py: the two exclude each other), or another piece."""
    moe = workload.model.moe
    shared = moe is not None and moe.shared_expert_ffn_hidden_size
    asked = "shared_expert" in workload.software.overlap
    shard = workload.shard
    return bool(shared and asked) and not (shard.expert_overlap or shard.dispatch_pieces > 1)


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
