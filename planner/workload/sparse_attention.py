"""DeepSeek Sparse Attention: an indexer chooses the keys that latent attention sees.

DeepSeek-V3.2-Exp (2025), section 2.1. Letters as in `planner.workload.workload`. Priced as the
fused kernels of that paper; no measured run has been compared with this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.core_attention import core_attention
from planner.workload.linear import replicated_linear
from planner.workload.operators import FusedAttention, Pointwise

if TYPE_CHECKING:
    from planner.specs.model.spec import IndexerSpec, MlaSpec
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload

_SCORE_BYTES = 4
"""Scores of the indexer are fp32."""


def sparse_attention(
    workload: Workload, mla: MlaSpec, indexer: IndexerSpec, heads: int
) -> list[Operator]:
    """The indexer, then attention of every query to its top k keys, which costs as much as a window
    of k keys.

    All heads share the keys they see, and read them as latents (section 2.1, "MQA mode of MLA"): a
    head's query and key are as wide as the latent and the rotary part, its value as the latent.
    """
    return [
        *indexer_operators(workload, mla, indexer),
        *core_attention(
            workload,
            heads,
            mla.kv_lora_rank + mla.qk_rope_head_dim,
            mla.kv_lora_rank,
            indexer.top_k,
        ),
    ]


def indexer_operators(workload: Workload, mla: MlaSpec, indexer: IndexerSpec) -> list[Operator]:
    """Projections of the indexer, which every tensor rank holds whole so that all heads see the
    same keys; its scores of all earlier keys (equation 1); and the choice of the best, which reads
    what the scores wrote."""
    w, h = workload, workload.model.hidden_size
    width, heads = indexer.head_dim, indexer.num_heads
    scores = w.tokens * w.seq_length / 2
    key_bytes = w.element_bytes * w.residual_tokens * width
    return [
        replicated_linear(
            w,
            "indexer_query",
            "attention",
            mla.q_lora_rank or h,
            heads * width,
            saves_input=False,
        ),
        replicated_linear(w, "indexer_key", "attention", h, width, saves_input=False),
        Pointwise(
            name="indexer_key_norm",
            module="attention",
            saved_bytes=key_bytes,
            parameters=2 * width,
            forward_bytes=2 * key_bytes,
            backward_bytes=3 * key_bytes,
            backward_kernels=2,
        ),
        replicated_linear(w, "indexer_weights", "attention", h, heads, saves_input=False),
        FusedAttention(
            name="indexer_scores",
            module="core_attn",
            saved_bytes=w.element_bytes * w.tokens * (heads * width + width + heads),
            batch=w.shard.micro_batch_size,
            heads=heads,
            query_length=w.local_seq_length,
            key_length=w.seq_length,
            head_dim=width,
            value_dim=0,
        ),
        Pointwise(
            name="indexer_choice",
            module="core_attn",
            saved_bytes=_SCORE_BYTES * w.tokens * min(indexer.top_k, w.seq_length),
            forward_bytes=2 * _SCORE_BYTES * scores,
            backward_bytes=0,
            forward_kernels=2,
            backward_kernels=0,
        ),
    ]
