"""Ring attention over the context ranks: what travels, and what is merged.

Letters as in `planner.workload.workload`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.operators import Collective, Pointwise

if TYPE_CHECKING:
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


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
    backward pass, the gradients of queries, keys and values, of which the sums so far, those of one
    call, and the next sums live at a time."""
    context, widened = workload.shard.context, 4 // workload.element_bytes
    return Pointwise(
        name="context_merge",
        module="core_attn",
        forward_bytes=context * (1 + 2 * widened) * query_bytes,
        backward_bytes=context * 3 * (query_bytes + block_bytes),
        held_bytes=3 * (query_bytes + block_bytes),
        forward_kernels=2 * context,
        backward_kernels=3 * context,
    )
