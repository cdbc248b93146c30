"""Attention over the context ranks: what travels, and what is merged.

Among some ranks heads are exchanged for parts of the sequence (Jacobs et al. 2023, DeepSpeed
Ulysses): an all-to-all gives each whole sequences of a part of the heads, another gives them back.
Keys and values go around a ring over the other ranks. Both together are hierarchical (Megatron-LM
`--cp-comm-type a2a+p2p`).

Letters as in `planner.workload.workload`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.operators import Collective, Pointwise

if TYPE_CHECKING:
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


def context_exchange(workload: Workload, query_bytes: int, block_bytes: int) -> list[Operator]:
    """Exchanges of heads, and of keys and values (`block_bytes`) around a ring; the backward pass
    sends their gradients along (Megatron-LM `--cp-comm-type p2p`, TransformerEngine
    `AttnFuncWithCPAndKVP2P`; PyTorch `_templated_ring_attention_backward`)."""
    heads, ring = workload.context_heads, workload.context_ring
    software, of_ring = workload.software, workload.software.context_sends
    operators = [] if heads == 1 else head_exchange(workload, query_bytes, block_bytes)
    if ring == 1:
        return operators
    if of_ring.whole_heads:
        block_bytes = max(block_bytes, 2 * query_bytes)
    waits = of_ring.waits_when_compiled and software.compile
    gradients = gradient_sum_width(workload)
    return [
        *operators,
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
                runs_with="" if waits else "attention",
                hops=ring - 1,
            )
            for direction, blocks in (("forward", 1), ("backward", 1 + gradients))
        ),
    ]


def head_exchange(workload: Workload, query_bytes: int, block_bytes: int) -> list[Operator]:
    """Queries, keys and values to the ranks of their heads, the output back; gradients the other
    way. The output is kept as attention made it and as the projection reads it. Parts are put in
    order before and after each (TransformerEngine `AttnFuncWithCPAndQKVOA2A`,
    `flash_attn_a2a_communicate`)."""
    moved = 2 * query_bytes + block_bytes
    return [
        Pointwise(
            name="context_heads_order",
            module="core_attn",
            saved_bytes=query_bytes,
            forward_bytes=4 * moved,
            backward_bytes=4 * moved,
            held_bytes=2 * (query_bytes + block_bytes),
            forward_kernels=8,
            backward_kernels=8,
        ),
        *(
            Collective(
                name=f"context_heads_{way}",
                module="core_attn",
                operation="all_to_all",
                axis="context",
                buffer_bytes=size,
                in_forward=True,
                in_backward=True,
            )
            for way, size in (("in", query_bytes + block_bytes), ("out", query_bytes))
        ),
    ]


def ring_merge(workload: Workload, query_bytes: int, block_bytes: int) -> Pointwise:
    """What a ring adds up after each of its calls: the rescaled output; in the backward pass the
    gradients of queries, keys and values. Each addition reads two tensors and writes one, of whole
    parts on the diagonal and in half of the steps after it, of half parts in the others. Sums are
    in the type of the job, of outputs in fp32 where attention is in 8 bits (TransformerEngine
    `AttnFuncWithCPAndKVP2P`: `flash_attn_fwd_out_correction`, `dq.add_`, `dkv.add_`), all of them
    where the framework converts (PyTorch `_SDPAMerger`). The sums so far, the gradients of one
    call, and the next sums live at a time. Where sums are in fp32, the gradients of a call keep the
    type of the job, and those of queries, which do not travel, are added in place."""
    ring, fp32 = workload.context_ring, workload.software.context_sends.fp32_sums
    eight_bit = workload.quantized and workload.software.fp8.attention
    width = sum_width(workload) if eight_bit or fp32 else 1
    backward_width = gradient_sum_width(workload)
    parts = (3 * ring + 1) / 4
    held = 3 * (query_bytes + block_bytes)
    if fp32:
        held = (1 + backward_width) * query_bytes + (1 + 2 * backward_width) * block_bytes
    return Pointwise(
        name="context_merge",
        module="core_attn",
        forward_bytes=3 * parts * width * query_bytes,
        backward_bytes=3 * parts * backward_width * (query_bytes + block_bytes),
        held_bytes=held,
        forward_kernels=2 * ring,
        backward_kernels=3 * ring,
    )


def sum_width(workload: Workload) -> int:
    """Bytes of an fp32 number over those of an element of the job."""
    return 4 // workload.element_bytes


def gradient_sum_width(workload: Workload) -> int:
    """The same of an element of the gradients that a ring adds up."""
    return sum_width(workload) if workload.software.context_sends.fp32_sums else 1
