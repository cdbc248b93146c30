"""Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).

Letters as in `planner.workload.workload`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.context_parallel import context_exchange
from planner.workload.core_attention import core_attention
from planner.workload.linear import column_parallel, replicated_linear, row_parallel
from planner.workload.operators import Pointwise
from planner.workload.pointwise import latent_norm, residual_add
from planner.workload.sparse_attention import sparse_attention

if TYPE_CHECKING:
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


def mla_operators(workload: Workload) -> list[Operator]:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1). As in Megatron-LM
    Core, every tensor rank holds the down projections whole. An unfused rotation, with joining its
    parts, launches 25 more operators in either pass (Megatron-LM `multi_latent_attention.py`
    `qkv_up_proj_and_rope_apply`; `rope_utils.py` `_apply_rotary_pos_emb_bshd`: cosine, sine, casts,
    halves turned, products, sum, twice; copies).
    """
    w, model, z = workload, workload.model, workload.element_bytes
    mla = model.mla
    assert mla is not None
    n, h = w.tokens, model.hidden_size
    heads = model.num_attention_heads // w.shard.tensor
    head_dim = mla.qk_head_dim + mla.qk_rope_head_dim
    query, value = heads * head_dim, heads * mla.v_head_dim
    latent = mla.kv_lora_rank + mla.qk_rope_head_dim
    operators: list[Operator] = []
    if mla.q_lora_rank:
        operators += [
            replicated_linear(
                w,
                "query_down",
                "attention",
                h,
                mla.q_lora_rank,
                saves_input=True,
                bias=model.qkv_bias,
            ),
            latent_norm(w, "query_norm", mla.q_lora_rank),
            *column_parallel(
                w, "query_up", "mla_up_proj", query, bias=False, inputs=mla.q_lora_rank
            ),
        ]
    else:
        operators += column_parallel(w, "query", "attention", query, bias=False)
    operators += [
        replicated_linear(
            w,
            "key_value_down",
            "attention",
            h,
            latent,
            saves_input=not mla.q_lora_rank,
            bias=model.qkv_bias,
        ),
        latent_norm(w, "key_value_norm", mla.kv_lora_rank),
        *column_parallel(
            w,
            "key_value_up",
            "mla_up_proj",
            heads * (mla.qk_head_dim + mla.v_head_dim),
            bias=False,
            inputs=mla.kv_lora_rank,
        ),
        Pointwise(
            name="query_key_value",
            module="mla_up_proj",
            saved_bytes=z * n * (2 * query + value),
            forward_bytes=4 * z * n * query,
            backward_bytes=4 * z * n * query,
            forward_kernels=4,
            backward_kernels=5,
            forward_launches=None if w.fuses("latent_rotary") else 4 + 25,
            backward_launches=None if w.fuses("latent_rotary") else 5 + 25,
        ),
    ]
    if mla.indexer is None:
        operators += core_attention(w, heads, head_dim, mla.v_head_dim, None)
    else:
        operators += sparse_attention(w, mla, mla.indexer, heads)
    operators += context_exchange(w, z * n * value, z * n * (query + value))
    operators += row_parallel(
        w, "attention_projection", "attention", value, bias=model.attention_bias
    )
    return operators + residual_add(w, "attention_residual")
