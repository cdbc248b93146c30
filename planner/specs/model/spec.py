"""The model as the rest of the planner sees it: nothing optional that could be derived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from planner.specs.files.source import SourceFile

LayerKind = Literal["dense", "moe"]
Norm = Literal["layernorm", "rmsnorm"]
PositionEmbedding = Literal["learned", "rope", "alibi", "none"]
Activation = Literal["gelu", "silu", "relu", "squared_relu"]
ScoreFunction = Literal["softmax", "sigmoid"]
QkNormScale = Literal["shared", "per_head", "none"]
"""Learned scales of the query and key norms: one for all heads, one per head, or none."""

MOST_LAYERS = 10_000
"""Ten times the layers of the deepest transformer that was trained (Wang et al. 2022, DeepNet)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoeSpec:
    """Mixture of experts. Layer i (from 0) is a mixture when it is not one of the first
    `first_dense_layers` and (i - first_dense_layers + 1) is a multiple of `layer_frequency`."""

    num_experts: int
    top_k: int
    ffn_hidden_size: int
    """Of one routed expert."""
    shared_expert_ffn_hidden_size: int = 0
    """Of all shared experts together; 0 without any."""
    first_dense_layers: int = 0
    layer_frequency: int = 1
    router_bias: bool = False
    shared_expert_gate: bool = False
    """A gate of one output weighs the shared experts (Qwen2-MoE)."""
    num_groups: int = 1
    """Groups of neighbouring experts that routing is limited to (DeepSeek-V3, arXiv 2412.19437,
    section 2.1.2: node-limited routing)."""
    group_top_k: int = 1
    """Groups that hold the experts of one token."""
    score_function: ScoreFunction = "softmax"
    """Of the router: "sigmoid" routers balance the load by a bias of every expert, "softmax" ones
    by an auxiliary loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexerSpec:
    """Lightning indexer of DeepSeek Sparse Attention (DeepSeek-V3.2-Exp, 2025, section 2.1): small
    heads score all earlier keys, and attention sees the best `top_k` of them."""

    num_heads: int
    head_dim: int
    top_k: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MlaSpec:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1)."""

    kv_lora_rank: int
    qk_head_dim: int
    """Of queries and keys without the rotary part."""
    qk_rope_head_dim: int
    v_head_dim: int
    q_lora_rank: int | None = None
    """None: queries are projected from the hidden state directly."""
    indexer: IndexerSpec | None = None
    """None: attention sees every earlier key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingDefaults:
    """The `training:` block: what a job takes when no option says otherwise."""

    global_batch_size: int | None = None
    seq_length: int | None = None
    precision: str | None = None
    optimizer: str | None = None
    software: str | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterCounts:
    """Parameters of a model, and those that one token meets."""

    total: int
    active: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A transformer. Sizes are in elements; what the file left out is filled in and named in
    `assumptions`. `vocab_size` is unpadded: parameter counts use it, memory uses
    `padded_vocab_size`."""

    name: str
    architecture: str
    num_layers: int
    hidden_size: int
    ffn_hidden_size: int
    """Of the MLP of dense layers."""
    num_attention_heads: int
    num_query_groups: int
    head_dim: int
    """Of queries and keys; with `mla`, its qk_head_dim + qk_rope_head_dim."""
    vocab_size: int
    seq_length: int | None
    """Longest sequence the model file states; None when it states none. Learned positions have
    this many rows (the job's sequence length when None)."""
    norm: Norm
    norm_bias: bool
    """A LayerNorm adds a bias to its scale."""
    norm_scale: bool = True
    """Norms have a learned scale."""
    norms_per_layer: int
    gated_mlp: bool
    activation: Activation
    tie_embeddings: bool
    position_embedding: PositionEmbedding
    qkv_bias: bool
    attention_bias: bool
    """Of the attention's output projection."""
    linear_bias: bool
    """Of the MLP's (and experts') matrices."""
    parallel_attention: bool
    """Attention and MLP read the same input and add to it together."""
    embedding_norm: bool
    """A norm between the embedding and the first layer."""
    post_norm: bool = False
    """Norms follow attention and MLP; with four norms a layer has them on both sides."""
    head_bias: bool = False
    """Of the output projection to the vocabulary."""
    qk_norm: bool
    qk_norm_scale: QkNormScale = "shared"
    qk_norm_bias: bool = False
    """The norms of queries and keys add a bias."""
    dropout: bool
    """Trained with hidden and attention dropout, where the software profile leaves it to the model.
    """
    activation_clamp: bool
    """The MLP's inputs to gate and product are clamped."""
    attention_sinks: bool
    """One learned logit per head in the softmax."""
    attention_window: int | None
    """Keys a query sees in layers with a sliding window; None: the whole sequence."""
    attention_chunk: int | None = None
    """Local layers cut the sequence into chunks of this many tokens, and a query sees the earlier
    keys of its own chunk (Llama 4); None: no chunks. Excludes a window."""
    full_attention_frequency: int
    """With a window or chunks: every n-th layer sees the whole sequence (0: none does)."""
    mtp_num_layers: int
    """Multi-token-prediction layers after the last."""
    make_vocab_size_divisible_by: int
    moe: MoeSpec | None = None
    mla: MlaSpec | None = None
    training: TrainingDefaults = TrainingDefaults()
    stated_parameters: ParameterCounts | None = None
    """What the file says the sizes come to."""
    assumptions: tuple[str, ...] = ()
    source: SourceFile | None = None

    @property
    def layer_kinds(self) -> tuple[LayerKind, ...]:
        """Kind of every layer, in order."""
        return tuple(self._layer_kind(index) for index in range(self.num_layers))

    @property
    def last_layer_kind(self) -> LayerKind:
        """Kind of the last layer."""
        return self._layer_kind(self.num_layers - 1)

    def _layer_kind(self, index: int) -> LayerKind:
        if self.moe is None or index < self.moe.first_dense_layers:
            return "dense"
        since = index - self.moe.first_dense_layers + 1
        return "moe" if since % self.moe.layer_frequency == 0 else "dense"

    @property
    def local_attention(self) -> tuple[bool, ...]:
        """Whether a query sees a part of the sequence only, in every layer in order."""
        every = self.full_attention_frequency
        local = self.attention_window is not None or self.attention_chunk is not None
        return tuple(
            local and not (every and (index + 1) % every == 0) for index in range(self.num_layers)
        )

    @property
    def attention_windows(self) -> tuple[int | None, ...]:
        """Width of the sliding window of every layer, in order; None: the layer has none."""
        return tuple(self.attention_window if local else None for local in self.local_attention)

    def padded_vocab_size(self, tensor: int) -> int:
        """Rows of the embedding for a tensor degree (Megatron-LM `vocab_utils.py`)."""
        multiple = self.make_vocab_size_divisible_by * tensor
        return -(-self.vocab_size // multiple) * multiple
