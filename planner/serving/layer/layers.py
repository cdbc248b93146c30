"""Everything of a layer but attention's reading of the cache, by the tokens of a step.

T   tokens of one attention rank      t   tensor degree      h   hidden size
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.serving.layer.laws import ACTIVATION_BYTES, experts_s, product_s, small_s
from planner.serving.layer.network import all_reduce_s, routed_s, sends_s
from planner.serving.scenario import WEIGHT_BYTES

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.serving.scenario import ServingScenario

_UNQUANTISED = next(iter(WEIGHT_BYTES))
"""Router, head and absorbed projections stay in 16 bits."""
_MLP_PRODUCTS = 2
"""Up (with the gate) and down."""


def layers_s(scenario: ServingScenario, tokens: Floats) -> Floats:
    """Seconds of all layers of the model for a step of T tokens, in a recorded graph."""
    kinds = scenario.model.layer_kinds
    total: Floats = len(kinds) * attention_part_s(scenario, tokens)
    dense, mixed = kinds.count("dense"), kinds.count("moe")
    if dense:
        width = scenario.model.ffn_hidden_size
        total = total + dense * mlp_part_s(scenario, tokens, width)
    if mixed:
        total = total + mixed * expert_part_s(scenario, tokens)
    return total + sends_s(scenario, tokens)


def attention_part_s(scenario: ServingScenario, tokens: Floats) -> Floats:
    """Projections, elementwise kernels and all-reduce of one attention block."""
    model, part = scenario.model, scenario.attention_format
    hidden, counts = model.hidden_size, scenario.engine.small_kernels
    if model.mla is None:
        width = (scenario.heads + 2 * scenario.kv_heads) * model.head_dim
        total = product_s(scenario, tokens, width, hidden, part)
        total = total + product_s(scenario, tokens, hidden, scenario.heads * model.head_dim, part)
        kernels = counts.attention + (1 if model.qk_norm else 0)
    else:
        total = _latent_products_s(scenario, tokens)
        kernels = counts.latent_attention
    total = total + small_s(scenario, kernels + _norms(scenario), tokens, hidden)
    return total + _all_reduce_s(scenario, tokens)


def _latent_products_s(scenario: ServingScenario, tokens: Floats) -> Floats:
    """Compressions are done on every rank. The projections from and to the compressed cache take
    the same arithmetic absorbed (decoding) and expanded (prompts)."""
    model, part, heads = scenario.model, scenario.attention_format, scenario.heads
    mla = model.mla
    assert mla is not None
    hidden, query = model.hidden_size, mla.qk_head_dim + mla.qk_rope_head_dim
    compressed = mla.kv_lora_rank + mla.qk_rope_head_dim
    if mla.q_lora_rank is None:
        total = product_s(scenario, tokens, heads * query + compressed, hidden, part)
    else:
        total = product_s(scenario, tokens, mla.q_lora_rank + compressed, hidden, part)
        total = total + product_s(scenario, tokens, heads * query, mla.q_lora_rank, part)
    for width in (mla.qk_head_dim, mla.v_head_dim):
        total = total + product_s(scenario, tokens, heads * width, mla.kv_lora_rank, _UNQUANTISED)
    if mla.indexer is not None:
        keys = mla.indexer.num_heads * mla.indexer.head_dim
        source = mla.q_lora_rank or hidden
        total = total + product_s(scenario, tokens, keys, source, _UNQUANTISED)
        total = total + product_s(scenario, tokens, mla.indexer.head_dim, hidden, _UNQUANTISED)
        total = total + small_s(scenario, 2, tokens, keys)
    return total + product_s(scenario, tokens, hidden, heads * mla.v_head_dim, part)


def mlp_part_s(scenario: ServingScenario, tokens: Floats, width: float) -> Floats:
    """A dense MLP: two products, elementwise kernels, all-reduce."""
    total = _mlp_products_s(scenario, tokens, width)
    kernels = scenario.engine.small_kernels.mlp + _norms(scenario)
    total = total + small_s(scenario, kernels, tokens, scenario.model.hidden_size)
    return total + _all_reduce_s(scenario, tokens)


def _mlp_products_s(scenario: ServingScenario, tokens: Floats, width: float) -> Floats:
    model, part = scenario.model, scenario.shared_format
    local = width / scenario.degrees.tensor
    up = local * (2 if model.gated_mlp else 1)
    total = product_s(scenario, tokens, up, model.hidden_size, part)
    return total + product_s(scenario, tokens, model.hidden_size, local, part)


def expert_part_s(scenario: ServingScenario, tokens: Floats) -> Floats:
    """A mixture: router, routed and shared experts, and one exchange. Where all ranks hold all
    tokens, one all-reduce sums the results of routed and shared experts."""
    model, degrees = scenario.model, scenario.degrees
    moe = model.moe
    assert moe is not None
    total = product_s(scenario, tokens, moe.num_experts, model.hidden_size, _UNQUANTISED)
    fused, width = scenario.table.shared_fused, moe.shared_expert_ffn_hidden_size or 0
    together = tokens * degrees.attention_data
    counts = scenario.engine.small_kernels
    kernels = counts.experts + _norms(scenario)
    if fused is not None and fused.value and degrees.expert == 1:
        total = total + experts_s(scenario, together, width / moe.ffn_hidden_size)
    elif width:
        kernels += counts.shared_experts
        shared = _mlp_products_s(scenario, tokens, width)
        total = total + _beside(scenario, tokens, experts_s(scenario, together), shared)
    else:
        total = total + experts_s(scenario, together)
    total = total + small_s(scenario, kernels, tokens, model.hidden_size)
    if degrees.attention_data == 1:
        return total + _all_reduce_s(scenario, tokens)
    return total + routed_s(scenario, tokens)


def _norms(scenario: ServingScenario) -> int:
    """Kernels of norms that the all-reduce of a part would hold, were there one."""
    held = scenario.engine.reduces_norms
    fused = scenario.model.moe is not None and scenario.degrees.tensor > 1
    return int(held is not None and held.value and not fused)


def _beside(scenario: ServingScenario, tokens: Floats, routed: Floats, shared: Floats) -> Floats:
    """Routed and shared experts of a step. Where they run side by side, the floors of the shared
    ones are hidden; bytes and arithmetic of both take the same device."""
    limit = scenario.table.shared_beside
    after: Floats = routed + shared
    if limit is None:
        return after
    floors = _MLP_PRODUCTS * scenario.product_law(scenario.shared_format).floor
    beside = np.maximum(after - floors, np.maximum(routed, shared))
    together: Floats = np.where(tokens <= limit.value, beside, after)
    return together


def head_s(scenario: ServingScenario, sequences: Floats) -> Floats:
    """The output matrix for the last token of each sequence, and the choice of the next one."""
    model = scenario.model
    rows = model.vocab_size / scenario.degrees.tensor
    total = product_s(scenario, sequences, rows, model.hidden_size, _UNQUANTISED)
    return total + small_s(scenario, scenario.engine.small_kernels.mlp, sequences, rows)


def launches(scenario: ServingScenario) -> int:
    """What the host launches for all layers where no graph is replayed."""
    model, counts = scenario.model, scenario.engine.launches
    attention = counts.attention if model.mla is None else counts.latent_attention
    if model.mla is not None and model.mla.indexer is not None:
        attention += counts.indexer
    experts = counts.experts
    if model.moe is not None and model.moe.shared_expert_ffn_hidden_size:
        experts += counts.shared_experts
    dense, mixed = model.layer_kinds.count("dense"), model.layer_kinds.count("moe")
    return model.num_layers * attention + dense * counts.mlp + mixed * experts


def _all_reduce_s(scenario: ServingScenario, tokens: Floats) -> Floats:
    size_bytes = tokens * scenario.model.hidden_size * ACTIVATION_BYTES
    return all_reduce_s(scenario, scenario.degrees.tensor, size_bytes)
