"""What each architecture takes where a model file says nothing.

Read in the reference implementations: Megatron-LM (gpt), Hugging Face transformers
`modeling_*.py` (llama … phi3), llm-foundry's `MPTConfig` (mpt).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.specs.model.spec import (
    Activation,
    Norm,
    PositionEmbedding,
    QkNormScale,
    ScoreFunction,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Defaults of the fields of the same names in `ModelSpec`."""

    norm: Norm
    gated_mlp: bool
    activation: Activation
    tie_embeddings: bool
    position_embedding: PositionEmbedding
    qkv_bias: bool = False
    attention_bias: bool = False
    linear_bias: bool = False
    norms_per_layer: int = 2
    parallel_attention: bool = False
    embedding_norm: bool = False
    norm_bias: bool | None = None
    """None: yes for layernorm, no for rmsnorm."""
    norm_scale: bool = True
    post_norm: bool = False
    head_bias: bool = False
    qk_norm: bool = False
    qk_norm_scale: QkNormScale = "shared"
    qk_norm_bias: bool | None = None
    """None: the norms of queries and keys have one where the others do."""
    dropout: bool = False
    activation_clamp: bool = False
    attention_sinks: bool = False
    full_attention_frequency: int = 0
    num_query_groups: int | None = None
    """None: as many as attention heads."""
    mixture: bool = False
    """The architecture is a mixture of experts: `moe` must be given."""
    router_bias: bool = False
    score_function: ScoreFunction = "softmax"


RARE = (
    "norm_bias",
    "norm_scale",
    "post_norm",
    "head_bias",
    "qk_norm_scale",
    "qk_norm_bias",
)
"""Fields few architectures set. Where one does not, their usual value is no assumption."""

_GPT = Architecture(
    norm="layernorm",
    gated_mlp=False,
    activation="gelu",
    tie_embeddings=True,
    position_embedding="learned",
    qkv_bias=True,
    attention_bias=True,
    linear_bias=True,
)
_LLAMA = Architecture(
    norm="rmsnorm",
    gated_mlp=True,
    activation="silu",
    tie_embeddings=False,
    position_embedding="rope",
)
_GEMMA = Architecture(
    norm="rmsnorm",
    gated_mlp=True,
    activation="gelu",
    tie_embeddings=True,
    position_embedding="rope",
    norms_per_layer=4,
    full_attention_frequency=2,
)
_OLMO2 = replace(
    _LLAMA, post_norm=True, qk_norm=True, qk_norm_scale="per_head", full_attention_frequency=4
)
_GPT_J = replace(
    _GPT,
    position_embedding="rope",
    tie_embeddings=False,
    parallel_attention=True,
    norms_per_layer=1,
    qkv_bias=False,
    attention_bias=False,
    head_bias=True,
)

ARCHITECTURES: dict[str, Architecture] = {
    # Megatron-LM's arguments: 0.1 unless a script says otherwise.
    "gpt": replace(_GPT, dropout=True),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mixtral": replace(_LLAMA, mixture=True),
    "qwen2": replace(_LLAMA, qkv_bias=True),
    "qwen3": replace(_LLAMA, qk_norm=True),
    "qwen3_moe": replace(_LLAMA, qk_norm=True, mixture=True),
    "deepseek": replace(_LLAMA, mixture=True, score_function="sigmoid"),
    "gpt_oss": replace(
        _LLAMA,
        qkv_bias=True,
        attention_bias=True,
        linear_bias=True,
        activation_clamp=True,
        attention_sinks=True,
        full_attention_frequency=2,
        mixture=True,
        router_bias=True,
    ),
    "bloom": replace(_GPT, position_embedding="alibi", embedding_norm=True),
    "gpt_neox": replace(
        _GPT, position_embedding="rope", tie_embeddings=False, parallel_attention=True
    ),
    "mpt": _GPT,
    "falcon": Architecture(
        norm="layernorm",
        gated_mlp=False,
        activation="gelu",
        tie_embeddings=True,
        position_embedding="rope",
        norms_per_layer=1,
        parallel_attention=True,
        num_query_groups=1,
    ),
    "opt": replace(_GPT, activation="relu"),
    "gemma2": _GEMMA,
    "gemma3": replace(_GEMMA, qk_norm=True, full_attention_frequency=6),
    "phi3": _LLAMA,
    "gemma": replace(_GEMMA, norms_per_layer=2, full_attention_frequency=0),
    "olmo": replace(_LLAMA, norm="layernorm", norm_bias=False, norm_scale=False),
    "olmo2": _OLMO2,
    "olmoe": replace(_OLMO2, post_norm=False, full_attention_frequency=0, mixture=True),
    "flex_olmo": replace(_OLMO2, full_attention_frequency=0, mixture=True),
    "cohere": replace(
        _LLAMA,
        norm="layernorm",
        norm_bias=False,
        norms_per_layer=1,
        parallel_attention=True,
        tie_embeddings=True,
        qk_norm_scale="per_head",
        full_attention_frequency=4,
    ),
    "stablelm": replace(_LLAMA, norm="layernorm", qk_norm_scale="per_head", qk_norm_bias=False),
    "glm": replace(_LLAMA, qkv_bias=True),
    "glm4": replace(_LLAMA, qkv_bias=True, norms_per_layer=4),
    "glm4_moe": replace(_LLAMA, qkv_bias=True, mixture=True),
    "exaone4": replace(_LLAMA, post_norm=True, qk_norm=True, full_attention_frequency=4),
    "starcoder2": replace(_GPT, position_embedding="rope"),
    "nemotron": replace(_LLAMA, norm="layernorm", gated_mlp=False, activation="squared_relu"),
    "arcee": replace(_LLAMA, gated_mlp=False, activation="squared_relu"),
    "apertus": replace(_LLAMA, gated_mlp=False, activation="gelu", qk_norm=True),
    "persimmon": replace(
        _GPT,
        activation="squared_relu",
        position_embedding="rope",
        tie_embeddings=False,
        qk_norm=True,
    ),
    "phi": replace(_GPT_J, qkv_bias=True, attention_bias=True),
    "phimoe": replace(_LLAMA, norm="layernorm", mixture=True),
    "gptj": _GPT_J,
    "gpt_neo": replace(_GPT, qkv_bias=False),
    "qwen2_moe": replace(_LLAMA, qkv_bias=True, mixture=True),
    "minimax_m2": replace(_LLAMA, qk_norm=True, qk_norm_scale="per_head", mixture=True),
    "llama4": replace(
        _LLAMA, qk_norm=True, qk_norm_scale="none", full_attention_frequency=4, mixture=True
    ),
}
