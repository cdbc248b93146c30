"""Attention over a KV cache: what a cached token costs a decoding one, and a prompt's own part.

    L   tokens before the query      G   KV heads of a rank      H   query heads of a rank
    d   head dimension               z   bytes of a KV element

Decoding reads 2 G d z bytes for every cached token: KV heads, not query heads. Over a compressed
cache (DeepSeek-AI 2024, arXiv 2405.04434, section 2.1.2, with absorbed up-projections) it reads
(kv_lora + rope) z, on every rank of a tensor group, and multiplies 2 H (2 kv_lora + rope).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.serving.scenario import KV_BYTES

if TYPE_CHECKING:
    from planner.serving.scenario import ServingScenario
    from planner.specs.model.spec import ModelSpec

_INDEX_BYTES = KV_BYTES["fp8"]
"""Keys of the indexer are cached in 8 bits (DeepSeek-V3.2-Exp, 2025, section 2.1)."""
_PRODUCTS = 2
"""Scores, and values weighed by them."""
_SPARSE_HEADS = 64
"""Rows of a tile of sparse attention: fewer heads of a rank are padded to it (deepseek-ai/FlashMLA,
flash_mla_sparse_fwd: 64 or 128 query heads)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Layers of one kind: seconds of their kernels with an empty cache, for every cached token that
    one decoding token sees, and for every pair of a prompt's tokens. At most `window` tokens are
    seen; `beyond_s` is for every pair where the prompt is longer. `ramp` tokens are added to those
    that each of a prompt sees."""

    window: int | None
    start_s: float
    token_s: float
    prompt_start_s: float
    pair_s: float
    beyond_s: float
    ramp: float


def readings(scenario: ServingScenario) -> tuple[Reading, ...]:
    """Every kind of layer of the model, all its layers together."""
    found = []
    windows = _widths(scenario.model)
    for window in sorted(set(windows), key=lambda width: (width is not None, width or 0)):
        layers = windows.count(window)
        if scenario.model.mla is None:
            found.append(_grouped(scenario, window, layers))
        else:
            found.extend(_latent(scenario, layers))
    return tuple(found)


def kv_bytes_per_token(scenario: ServingScenario) -> tuple[tuple[int | None, float], ...]:
    """Window and bytes of a rank's KV cache per token, by kind of layer; all stages together."""
    model, size = scenario.model, KV_BYTES[scenario.kv]
    windows = model.attention_windows
    kinds = sorted(set(windows), key=lambda width: (width is not None, width or 0))
    if model.mla is not None:
        indexed = model.mla.indexer
        keys = 0.0 if indexed is None else indexed.head_dim * _INDEX_BYTES
        elements = model.mla.kv_lora_rank + model.mla.qk_rope_head_dim
        return ((None, model.num_layers * (elements * size + keys)),)
    each = 2 * scenario.kv_heads * model.head_dim * size
    whole = scenario.engine.memory.whole_context
    if whole is not None and whole.value:
        return ((None, model.num_layers * each),)
    return tuple((window, windows.count(window) * each) for window in kinds)


def _widths(model: ModelSpec) -> tuple[int | None, ...]:
    """Tokens that a query of each layer sees at most; None: all. A chunk counts as a window of its
    length, although its first queries see fewer; the cache keeps the whole context all the same."""
    width = model.attention_window or model.attention_chunk
    return tuple(width if local else None for local in model.local_attention)


def _grouped(scenario: ServingScenario, window: int | None, layers: int) -> Reading:
    model = scenario.model
    law, prompt = scenario.attention_law(), scenario.prompt_law()
    token_bytes = 2 * scenario.kv_heads * model.head_dim * KV_BYTES[scenario.kv]
    pair_flop = 2 * _PRODUCTS * scenario.heads * model.head_dim
    pair_s = layers * pair_flop / (scenario.prompt_flop_per_s * prompt.peak)
    return Reading(
        window=window,
        start_s=layers * law.floor,
        token_s=layers * token_bytes / (scenario.memory_bytes_per_s * law.bandwidth),
        prompt_start_s=layers * prompt.floor,
        pair_s=pair_s,
        beyond_s=pair_s,
        ramp=prompt.ramp,
    )


def _latent(scenario: ServingScenario, layers: int) -> tuple[Reading, ...]:
    """Prompts expand the compressed cache. Where an indexer picks the keys of long ones, attention
    stays absorbed, over all heads that a tile holds."""
    mla = scenario.model.mla
    assert mla is not None
    law = scenario.latent_law()
    prompt = scenario.prompt_law()
    bandwidth = scenario.memory_bytes_per_s * law.bandwidth
    prompt_flop_per_s = scenario.prompt_flop_per_s * prompt.peak
    elements = mla.kv_lora_rank + mla.qk_rope_head_dim
    absorbed_flop = 2 * (elements + mla.kv_lora_rank)
    blend = scenario.engine.blend.value
    read_s = elements * KV_BYTES[scenario.kv] / bandwidth
    multiplied_s = scenario.heads * absorbed_flop / (scenario.peak(law.arithmetic) * law.peak)
    multiplied_s *= scenario.queries
    pair_flop = 2 * scenario.heads * (mla.qk_head_dim + mla.qk_rope_head_dim + mla.v_head_dim)
    pair_s = layers * pair_flop / prompt_flop_per_s
    beyond_flop = max(scenario.heads, _SPARSE_HEADS) * absorbed_flop
    attention = Reading(
        window=None if mla.indexer is None else mla.indexer.top_k,
        start_s=layers * law.floor,
        token_s=layers * (read_s**blend + multiplied_s**blend) ** (1 / blend),
        prompt_start_s=layers * prompt.floor,
        pair_s=pair_s,
        beyond_s=pair_s if mla.indexer is None else layers * beyond_flop / prompt_flop_per_s,
        ramp=prompt.ramp,
    )
    if mla.indexer is None:
        return (attention,)
    scored_flop = 2 * mla.indexer.num_heads * mla.indexer.head_dim
    scored_s = layers * scored_flop / (scenario.peak("fp8") * prompt.peak)
    read_s = layers * mla.indexer.head_dim * _INDEX_BYTES / bandwidth
    start_s = layers * scenario.engine.small_kernels.indexer * scenario.table.small_kernel
    index = Reading(
        window=None,
        start_s=start_s,
        token_s=max(read_s, scored_s),
        prompt_start_s=start_s,
        pair_s=scored_s,
        beyond_s=scored_s,
        ramp=prompt.ramp,
    )
    return (attention, index)
