"""Exact parameter counts of a model, whole and by part. All results are numbers of parameters.

h hidden, f MLP width, a heads, g query groups, d head dimension, E experts, k experts per token,
V vocabulary. A linear layer from x to y elements has x·y weights and, where the model says so,
y biases. Counts follow the layers' code, so that they can be checked to the last parameter:
Megatron-LM `megatron/core/transformer` (attention.py, mlp.py, moe/, multi_latent_attention.py,
multi_token_prediction.py) and the modelling files of Hugging Face transformers.

Counts are of the unpadded vocabulary unless a caller gives another. Buffers that no gradient
reaches (rotary tables, DeepSeek-V3's routing correction) are not parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.errors import InputError
from planner.specs.model.spec import (
    IndexerSpec,
    LayerKind,
    MlaSpec,
    ModelSpec,
    ParameterCounts,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerParameters:
    """One transformer layer. `experts` holds all routed experts together, `mlp` the dense MLP;
    a layer has one or the other. `projection` is the extra matrix of multi-token prediction."""

    attention: int
    norms: int
    mlp: int = 0
    router: int = 0
    experts: int = 0
    shared_experts: int = 0
    projection: int = 0

    @property
    def dense(self) -> int:
        """Everything but the routed experts."""
        matrices = self.attention + self.mlp + self.shared_experts + self.projection
        return matrices + self.router + self.norms

    @property
    def total(self) -> int:
        return self.dense + self.experts


def _linear(inputs: int, outputs: int, bias: bool) -> int:
    return inputs * outputs + (outputs if bias else 0)


def _norm(model: ModelSpec, width: int) -> int:
    return width * (model.norm_scale + model.norm_bias)


def _latent_attention(model: ModelSpec, mla: MlaSpec) -> int:
    """DeepSeek-V2 (arXiv 2405.04434), equations 9 to 17: low-rank queries (where a rank is given)
    and a joint low-rank key and value with one shared rotary key; each latent has a norm."""
    hidden, heads = model.hidden_size, model.num_attention_heads
    query_width = heads * (mla.qk_head_dim + mla.qk_rope_head_dim)
    if mla.q_lora_rank is None:
        query = _linear(hidden, query_width, bias=False)
    else:
        query = (
            _linear(hidden, mla.q_lora_rank, model.qkv_bias)
            + _norm(model, mla.q_lora_rank)
            + _linear(mla.q_lora_rank, query_width, bias=False)
        )
    key_value = (
        _linear(hidden, mla.kv_lora_rank + mla.qk_rope_head_dim, model.qkv_bias)
        + _norm(model, mla.kv_lora_rank)
        + _linear(mla.kv_lora_rank, heads * (mla.qk_head_dim + mla.v_head_dim), bias=False)
    )
    output = _linear(heads * mla.v_head_dim, hidden, model.attention_bias)
    indexer = 0 if mla.indexer is None else _indexer(model, mla, mla.indexer)
    return query + key_value + output + indexer


def _indexer(model: ModelSpec, mla: MlaSpec, indexer: IndexerSpec) -> int:
    """Lightning indexer (DeepSeek-V3.2-Exp, section 2.1): its queries from the latent of the
    queries, one key for all its heads with a LayerNorm, and a weight for every head."""
    hidden = model.hidden_size
    query = _linear(mla.q_lora_rank or hidden, indexer.num_heads * indexer.head_dim, bias=False)
    key = _linear(hidden, indexer.head_dim, bias=False) + 2 * indexer.head_dim
    return query + key + _linear(hidden, indexer.num_heads, bias=False)


def _grouped_attention(model: ModelSpec) -> int:
    """Queries a·d, keys and values g·d each, output a·d → h; g = a is multi-head attention."""
    query_width = model.num_attention_heads * model.head_dim
    key_value_width = 2 * model.num_query_groups * model.head_dim
    projections = _linear(
        model.hidden_size, query_width + key_value_width, model.qkv_bias
    ) + _linear(query_width, model.hidden_size, model.attention_bias)
    return projections + qk_norm_parameters(model)


def qk_norm_parameters(model: ModelSpec) -> int:
    """Norms of queries and keys: one scale of d for all heads, or one for each of the a query and g
    key heads; the same for biases."""
    if not model.qk_norm or model.qk_norm_scale == "none":
        return 0
    heads = model.num_attention_heads + model.num_query_groups
    scales = 2 if model.qk_norm_scale == "shared" else heads
    return scales * model.head_dim * (1 + model.qk_norm_bias)


def attention_parameters(model: ModelSpec) -> int:
    """Projections with their biases, the norms of queries and keys or of latents, and one sink
    logit per head where the model has them."""
    projections = (
        _grouped_attention(model) if model.mla is None else _latent_attention(model, model.mla)
    )
    return projections + (model.num_attention_heads if model.attention_sinks else 0)


def mlp_parameters(model: ModelSpec, width: int) -> int:
    """An MLP (or expert) of `width` f: h → f → h, the first matrix doubled by a gate."""
    up_width = width * (2 if model.gated_mlp else 1)
    return _linear(model.hidden_size, up_width, model.linear_bias) + _linear(
        width, model.hidden_size, model.linear_bias
    )


def layer_parameters(model: ModelSpec, kind: LayerKind) -> LayerParameters:
    """One layer of a kind. Raises: ValueError for an expert layer of a model without experts."""
    attention = attention_parameters(model)
    norms = model.norms_per_layer * _norm(model, model.hidden_size)
    if kind == "dense":
        mlp = mlp_parameters(model, model.ffn_hidden_size)
        return LayerParameters(attention=attention, norms=norms, mlp=mlp)
    moe = model.moe
    if moe is None:
        raise ValueError(f"model {model.name} has no expert layers")
    shared_width = moe.shared_expert_ffn_hidden_size
    gate = model.hidden_size if moe.shared_expert_gate else 0
    return LayerParameters(
        attention=attention,
        norms=norms,
        router=_linear(model.hidden_size, moe.num_experts, moe.router_bias),
        experts=moe.num_experts * mlp_parameters(model, moe.ffn_hidden_size),
        shared_experts=mlp_parameters(model, shared_width) + gate if shared_width else 0,
    )


def _position_rows(model: ModelSpec, seq_length: int | None) -> int:
    if model.position_embedding != "learned":
        return 0
    rows = model.seq_length or seq_length
    if rows is None:
        raise InputError(
            f"model {model.name} has learned positions but states no sequence length",
            hint="add seq_length to the model",
        )
    return rows


def embedding_parameters(
    model: ModelSpec, *, vocab_size: int | None = None, seq_length: int | None = None
) -> int:
    """Token table V·h, learned positions (one row per position of the model, or of the job's
    `seq_length` where the model states none), and the embedding's norm (BLOOM).

    Raises: InputError when learned positions have no length from either.
    """
    rows = (vocab_size or model.vocab_size) + _position_rows(model, seq_length)
    norm = _norm(model, model.hidden_size) if model.embedding_norm else 0
    return rows * model.hidden_size + norm


def head_parameters(model: ModelSpec, *, vocab_size: int | None = None) -> int:
    """Final norm, the output matrix V·h unless it is the token table itself, and its bias."""
    rows = vocab_size or model.vocab_size
    matrix = 0 if model.tie_embeddings else rows * model.hidden_size
    return _norm(model, model.hidden_size) + matrix + (rows if model.head_bias else 0)


def mtp_parameters(model: ModelSpec) -> LayerParameters:
    """One multi-token-prediction module: a layer of the last kind, two norms before and one after
    it, and a projection of 2h → h. Embedding and output matrix are the model's own (DeepSeek-V3,
    arXiv 2412.19437, section 2.2)."""
    layer = layer_parameters(model, model.layer_kinds[-1])
    hidden = model.hidden_size
    return replace(
        layer, norms=layer.norms + 3 * _norm(model, hidden), projection=2 * hidden * hidden
    )


def _layers(model: ModelSpec) -> list[LayerParameters]:
    by_kind = {kind: layer_parameters(model, kind) for kind in sorted(set(model.layer_kinds))}
    return [by_kind[kind] for kind in model.layer_kinds]


def total_parameters(model: ModelSpec, *, seq_length: int | None = None) -> int:
    """The model as publications count it: embedding, layers, head; without multi-token-prediction
    modules (`mtp_parameters`)."""
    ends = embedding_parameters(model, seq_length=seq_length) + head_parameters(model)
    return ends + sum(layer.total for layer in _layers(model))


def active_parameters(model: ModelSpec, *, seq_length: int | None = None) -> int:
    """Parameters that one token meets: `total_parameters` with k of the E routed experts. Some
    publications leave out the embedding, whose table is only looked up."""
    idle = 0
    if model.moe is not None:
        expert = mlp_parameters(model, model.moe.ffn_hidden_size)
        idle = (model.moe.num_experts - model.moe.top_k) * expert * model.layer_kinds.count("moe")
    return total_parameters(model, seq_length=seq_length) - idle


def parameter_counts(model: ModelSpec) -> ParameterCounts:
    """Total and active parameters. Raises: InputError as `total_parameters` does."""
    longest = model.training.seq_length
    return ParameterCounts(
        total=total_parameters(model, seq_length=longest),
        active=active_parameters(model, seq_length=longest),
    )


def check_parameters(model: ModelSpec) -> None:
    """Compare the counts that the model's file states with those of its sizes."""
    stated = model.stated_parameters
    if stated is None:
        return
    counted = parameter_counts(model)
    for name in ("total", "active"):
        written, found = getattr(stated, name), getattr(counted, name)
        if written != found:
            raise InputError(
                f"parameters.{name}: {written:,} is stated, the sizes come to {found:,}",
                path=model.source.path if model.source else None,
                hint="mend the size that is wrong, or leave parameters out",
            )
