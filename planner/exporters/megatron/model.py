"""The model's shape as flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.exporters.megatron.flags import Flags, cannot, switches, values

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob
    from planner.specs.model.spec import MlaSpec, ModelSpec, MoeSpec

_POSITIONS = {"learned": "learned_absolute", "rope": "rope", "none": "none"}
_NORMS = {"layernorm": "LayerNorm", "rmsnorm": "RMSNorm"}
_NORMS_PER_LAYER = 2


_SQUARED_RELU = "squared_relu"
_CLAMP = "7.0"
"""`swiglu_limit` of gpt-oss (its published config.json), the one family that clamps."""


def model_flags(job: ExportJob) -> Flags:
    """Raises: Inexpressible for a model with parts Megatron-LM has no flags for."""
    model = job.model
    _refuse_other_parts(model)
    longest = max(model.seq_length or 0, job.job.seq_length)
    return {
        **values(
            num_layers=model.num_layers,
            hidden_size=model.hidden_size,
            ffn_hidden_size=model.ffn_hidden_size,
            num_attention_heads=model.num_attention_heads,
        ),
        **_attention(model),
        **values(
            vocab_size=model.vocab_size,
            make_vocab_size_divisible_by=model.make_vocab_size_divisible_by,
            max_position_embeddings=longest,
            position_embedding_type=_POSITIONS[model.position_embedding],
            normalization=_NORMS[model.norm],
        ),
        **switches(swiglu=model.gated_mlp, squared_relu=model.activation == _SQUARED_RELU),
        **values(activation_func_clamp_value=_CLAMP if model.activation_clamp else None),
        **_biases(model),
        **switches(untie_embeddings_and_output_weights=not model.tie_embeddings),
        **({} if model.moe is None else _mixture(model, model.moe)),
        **values(mtp_num_layers=model.mtp_num_layers or None),
    }


def _refuse_other_parts(model: ModelSpec) -> None:
    if model.position_embedding not in _POSITIONS:
        raise cannot(
            "model.position_embedding",
            f"{model.position_embedding} is not one of {', '.join(_POSITIONS)}",
        )
    if model.parallel_attention:
        raise cannot("model.parallel_attention", "attention and MLP run one after the other")
    if model.embedding_norm:
        raise cannot("model.embedding_norm", "no norm follows the embedding")
    if model.norms_per_layer != _NORMS_PER_LAYER:
        raise cannot("model.norms_per_layer", f"a layer has 2 norms, not {model.norms_per_layer}")
    _refuse_other_norms(model)
    if model.head_bias:
        raise cannot("model.head_bias", "the output layer has no bias")
    if model.attention_chunk is not None:
        raise cannot("model.attention_chunk", "attention is local by a window, not by chunks")
    if model.mla is not None and model.mla.indexer is not None:
        raise cannot("model.mla.indexer", "latent attention sees every earlier key")
    activations = ("silu",) if model.gated_mlp else ("gelu", _SQUARED_RELU)
    if model.activation not in activations:
        kind = "a gated MLP" if model.gated_mlp else "an MLP without a gate"
        allowed = " or ".join(activations)
        raise cannot("model.activation", f"{kind} has {allowed}, not {model.activation}")


def _refuse_other_norms(model: ModelSpec) -> None:
    if model.norm_bias != (model.norm == "layernorm"):
        raise cannot("model.norm_bias", "LayerNorm has a bias, RMSNorm has none")
    if not model.norm_scale:
        raise cannot("model.norm_scale", "norms have a learned scale")
    if model.post_norm:
        raise cannot("model.post_norm", "norms precede attention and MLP")
    if model.qk_norm and model.qk_norm_scale != "shared":
        raise cannot("model.qk_norm_scale", "all heads share the scale of their norm")
    if model.qk_norm and model.qk_norm_bias != model.norm_bias:
        raise cannot("model.qk_norm_bias", "norms of queries and keys are like the others")


def _attention(model: ModelSpec) -> Flags:
    flags: Flags = {}
    if model.mla is not None:
        flags |= _latent(model.mla)
    else:
        if model.num_query_groups != model.num_attention_heads:
            flags |= switches(group_query_attention=True)
            flags |= values(num_query_groups=model.num_query_groups)
        flags |= values(kv_channels=model.head_dim)
        flags |= switches(qk_layernorm=model.qk_norm)
    if model.attention_sinks:
        flags |= values(softmax_type="learnable")
    if model.attention_window is not None:
        every = model.full_attention_frequency
        flags |= values(
            window_size=f"{model.attention_window},0", window_attn_skip_freq=every or None
        )
    return flags


def _latent(mla: MlaSpec) -> Flags:
    """Latents are normalised, which --qk-layernorm switches on."""
    return {
        **switches(multi_latent_attention=True),
        **values(
            q_lora_rank=mla.q_lora_rank,
            kv_lora_rank=mla.kv_lora_rank,
            qk_head_dim=mla.qk_head_dim,
            qk_pos_emb_head_dim=mla.qk_rope_head_dim,
            v_head_dim=mla.v_head_dim,
        ),
        **switches(qk_layernorm=True),
    }


def _biases(model: ModelSpec) -> Flags:
    """One switch for the biases of all linear layers, the router's with them, and one for those of
    the query, key and value projections alone."""
    if model.attention_bias != model.linear_bias:
        raise cannot(
            "model.attention_bias", "the attention's output projection and the MLP have one switch"
        )
    if model.linear_bias and not model.qkv_bias:
        raise cannot("model.qkv_bias", "where linear layers have biases, these have them too")
    if model.moe is not None and model.moe.router_bias != model.linear_bias:
        raise cannot("model.moe.router_bias", "the router has a bias where linear layers do")
    return switches(
        disable_bias_linear=not model.linear_bias,
        add_qkv_bias=model.qkv_bias and not model.linear_bias,
    )


def _mixture(model: ModelSpec, moe: MoeSpec) -> Flags:
    pattern = None
    if moe.first_dense_layers or moe.layer_frequency > 1:
        pattern = expert_pattern(model)
    softmax = moe.score_function == "softmax"
    return {
        **values(
            num_experts=moe.num_experts,
            moe_router_topk=moe.top_k,
            moe_ffn_hidden_size=moe.ffn_hidden_size,
            moe_shared_expert_intermediate_size=moe.shared_expert_ffn_hidden_size or None,
            moe_layer_freq=pattern,
            moe_router_score_function=None if softmax else moe.score_function,
            moe_router_num_groups=moe.num_groups if moe.num_groups > 1 else None,
            moe_router_group_topk=moe.group_top_k if moe.num_groups > 1 else None,
        ),
        **switches(
            moe_router_pre_softmax=moe.top_k == 1 and softmax,
            moe_router_enable_expert_bias=not softmax,
            moe_shared_expert_gate=moe.shared_expert_gate,
        ),
    }


def expert_pattern(model: ModelSpec) -> str:
    """1 for every mixture, 0 for every dense layer, as a sum of repeated lists without spaces:
    `[0]*3+([0]*1+[1]*1)*29` (`arguments.moe_freq_type`)."""
    moe = model.moe
    first = 0 if moe is None else moe.first_dense_layers
    every = 1 if moe is None else moe.layer_frequency
    periods, rest = divmod(model.num_layers - first, every)
    parts = [f"[0]*{first}"] if first else []
    if periods:
        parts.append(f"[1]*{periods}" if every == 1 else f"([0]*{every - 1}+[1]*1)*{periods}")
    if rest:
        parts.append(f"[0]*{rest}")
    return "+".join(parts)
