"""Model files: what a user writes. `model_build` makes a `ModelSpec` of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from planner.specs.device import Precision
from planner.specs.files.fields import Count, Input, Name, Size, Tokens
from planner.specs.files.spelling import did_you_mean
from planner.specs.model.architecture import ARCHITECTURES
from planner.specs.model.spec import (
    MOST_LAYERS,
    Activation,
    Norm,
    PositionEmbedding,
    QkNormScale,
    ScoreFunction,
)
from planner.specs.units import describe


def _known_architecture(value: object) -> object:
    if isinstance(value, str) and value not in ARCHITECTURES:
        hint = did_you_mean(value, ARCHITECTURES)
        text = f"found {describe(value)}; allowed: {', '.join(ARCHITECTURES)}"
        raise ValueError(f"{text}; {hint}" if hint else text)
    return value


ArchitectureName = Annotated[
    str,
    BeforeValidator(_known_architecture),
    WithJsonSchema({"enum": list(ARCHITECTURES)}),
]
Optimizer = Literal["adam", "sgd"]


class MoeInput(Input):
    """Mixture of experts. Layers that are not mixtures keep the model's own MLP."""

    num_experts: Count
    """Routed experts of one layer."""
    top_k: Count
    """Routed experts each token goes to."""
    ffn_hidden_size: Size | None = None
    """Of one routed expert. Default: the model's ffn_hidden_size."""
    shared_expert_ffn_hidden_size: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """Of all shared experts together; 0: none."""
    first_dense_layers: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Layers at the start that are not mixtures."""
    layer_frequency: Count = 1
    """After those, every n-th layer is a mixture."""
    router_bias: bool | None = None
    """Default: the architecture's."""
    shared_expert_gate: bool = False
    """A gate of one output weighs the shared experts."""
    num_groups: Count = 1
    """Groups of neighbouring experts to which routing is limited; 1: it is not."""
    group_top_k: Count | None = None
    """Groups that hold the experts of one token. Default: all groups."""
    score_function: ScoreFunction | None = None
    """Of the router. Default: the architecture's."""


class IndexerInput(Input):
    """Small heads that choose the keys which sparse attention sees (DeepSeek Sparse Attention)."""

    num_heads: Count
    head_dim: Size
    top_k: Size
    """Keys a query sees."""


class MlaInput(Input):
    """Multi-head latent attention."""

    kv_lora_rank: Size
    q_lora_rank: Size | None = None
    """Default: queries are projected without a low rank."""
    qk_head_dim: Size
    """Of queries and keys without the rotary part."""
    qk_rope_head_dim: Size
    v_head_dim: Size
    indexer: IndexerInput | None = None
    """Default: attention sees every earlier key."""


class TrainingInput(Input):
    """What a job takes when no option says otherwise."""

    global_batch_size: Size | None = None
    """Sequences per optimizer step."""
    seq_length: Size | None = None
    precision: Precision | None = None
    optimizer: Optimizer | None = None
    software: Name | None = None
    """Name of a software profile."""
    tokens: Tokens | None = None
    """Of the whole job, such as 15T: reports then say how long it takes."""


class ParametersInput(Input):
    """What a model's sizes come to."""

    total: Annotated[int, Field(ge=1)]
    """Of the whole model, without padding and without multi-token-prediction layers."""
    active: Annotated[int, Field(ge=1)]
    """Of those, what one token meets: all but the experts it does not go to."""


class ModelInput(Input):
    """A model for `planner`."""

    name: Name | None = None
    """Default: the name of the file, with dashes for characters that a name cannot hold."""
    architecture: ArchitectureName
    """Sets the defaults of everything left out."""
    num_layers: Annotated[int, Field(ge=1, le=MOST_LAYERS)]
    hidden_size: Annotated[int, Field(ge=1, le=10_000_000)]
    num_attention_heads: Annotated[int, Field(ge=1, le=1_000_000)]
    vocab_size: Size
    """Of the tokenizer, without padding."""
    ffn_hidden_size: Size | None = None
    """Of the MLP of dense layers. Default: 4 · hidden_size; gated MLPs must state it."""
    num_query_groups: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Key and value heads. Default: one per attention head."""
    head_dim: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Default: hidden_size / num_attention_heads."""
    seq_length: Size | None = None
    """Longest sequence of the model; the default of a job's sequence length."""
    norm: Norm | None = None
    norm_bias: bool | None = None
    """Default: yes for layernorm, no for rmsnorm."""
    norm_scale: bool | None = None
    """Norms have a learned scale."""
    norms_per_layer: Annotated[int, Field(ge=0, le=8)] | None = None
    post_norm: bool | None = None
    """Norms follow attention and MLP instead of preceding them."""
    gated_mlp: bool | None = None
    """Three MLP matrices instead of two (SwiGLU, GeGLU)."""
    activation: Activation | None = None
    tie_embeddings: bool | None = None
    """The output layer uses the embedding's weights."""
    position_embedding: PositionEmbedding | None = None
    qkv_bias: bool | None = None
    """Biases of the query, key and value projections. Default: `attention_bias` if given."""
    attention_bias: bool | None = None
    """Bias of the attention's output projection."""
    linear_bias: bool | None = None
    """Biases of the MLP's (and experts') matrices."""
    parallel_attention: bool | None = None
    """Attention and MLP side by side on the same input."""
    embedding_norm: bool | None = None
    """A norm right after the embedding."""
    head_bias: bool | None = None
    """Bias of the output projection to the vocabulary."""
    qk_norm: bool | None = None
    """Norms of queries and keys."""
    qk_norm_scale: QkNormScale | None = None
    """`shared`: all heads have the same scale. `per_head`: each has its own. `none`: no scale."""
    qk_norm_bias: bool | None = None
    """Default: `norm_bias`."""
    dropout: bool | None = None
    """Trained with hidden and attention dropout. Default: the architecture's, which is no but for
    gpt."""
    activation_clamp: bool | None = None
    """The MLP's inputs to gate and product are clamped."""
    attention_sinks: bool | None = None
    """One learned logit per head in the softmax."""
    attention_window: Size | None = None
    """Keys a query sees in layers with a sliding window. Default: the whole sequence."""
    attention_chunk: Size | None = None
    """Local layers cut the sequence into chunks of this many tokens, and a query sees only those of
    its own. Default: no chunks."""
    full_attention_frequency: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """With a window or chunks: every n-th layer sees the whole sequence; 0: none does."""
    mtp_num_layers: Annotated[int, Field(ge=0, le=100)] = 0
    """Multi-token-prediction layers after the last."""
    make_vocab_size_divisible_by: Annotated[int, Field(ge=1, le=1_000_000)] = 128
    """The embedding is padded to a multiple of this times the tensor degree."""
    moe: MoeInput | None = None
    """Default: no mixture of experts."""
    mla: MlaInput | None = None
    """Default: no latent attention."""
    training: TrainingInput = TrainingInput()
    parameters: ParametersInput | None = None
    """Counts to check the sizes against; a model of other counts is refused. Imports as JSON write
    them."""
