"""A model as layers of operators with this device's local shapes.

Legend: b micro-batch size, S sequence length, n = b·S/c tokens of one device (c context degree),
r = tokens of the residual stream (n/t under sequence parallelism, else n), h hidden size,
t tensor degree, z bytes per element.

What each operator keeps for the backward pass follows Korthikanti et al. 2022 (section 4, the
34·s·b·h + 5·a·s²·b of one GPT layer) for the unfused kernels, and TransformerEngine's modules as
Megatron-LM Core uses them for the fused ones. An operator is charged with the tensors that nothing
else keeps: the rotary operator with the rotated queries and keys, the projection with the
attention's output.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner.workload.formats import QUANTIZED_BYTES, gradient_bytes
from planner.workload.operators import (
    Collective,
    FusedAttention,
    GroupedMatmul,
    Matmul,
    Operator,
    Pointwise,
)

if TYPE_CHECKING:
    from planner.specs.model import ModelSpec
    from planner.specs.software import SoftwareProfile
    from planner.workload.shard import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Everything that fixes the operators of one layer."""

    model: ModelSpec
    software: SoftwareProfile
    precision: str
    seq_length: int
    expert_imbalance: float
    shard: Shard

    @property
    def element_bytes(self) -> int:
        return 4 if self.precision == "fp32" else 2

    @property
    def operand_bytes(self) -> float:
        """Bytes per element of a matmul input as it is kept for the weight gradient."""
        return QUANTIZED_BYTES.get(self.precision, self.element_bytes)

    @property
    def base_precision(self) -> str:
        """What everything but the quantised matmuls runs in."""
        return "bf16" if self.precision in QUANTIZED_BYTES else self.precision

    @property
    def weight_gradient_bytes(self) -> int:
        """Bytes moved per element of a weight gradient by the matmul that makes it: read and
        written when it accumulates into the main gradient itself."""
        if not self.software.fused.gradient_accumulation:
            return self.element_bytes
        return 2 * gradient_bytes(self.software, self.precision)

    def fuses(self, operator: str) -> bool:
        """Whether a memory-bound operator is one kernel, by hand or by a compiler."""
        fused: bool = getattr(self.software.fused, operator)
        return fused or self.software.compile

    @property
    def local_seq_length(self) -> int:
        return self.seq_length // self.shard.context

    @property
    def tokens(self) -> int:
        return self.shard.micro_batch_size * self.local_seq_length

    @property
    def residual_tokens(self) -> int:
        return self.tokens // self.shard.tensor if self.shard.sequence_parallel else self.tokens

    @property
    def token_copies(self) -> int:
        """Experts a token is sent to, where the dispatcher sends one copy per domain for all of
        them there; else 1, because every copy travels on its own."""
        moe = self.model.moe
        return moe.top_k if moe and self.software.expert.deduplicated else 1

    def residual_bytes(self) -> int:
        return self.element_bytes * self.residual_tokens * self.model.hidden_size


def layer_operators(workload: Workload, kind: str) -> tuple[Operator, ...]:
    """Operators of one layer in forward order; `kind` is one of `layer_kinds`."""
    match kind:
        case "embedding":
            return tuple(embedding_operators(workload))
        case "head":
            return tuple(head_operators(workload))
        case "mtp":
            return tuple(mtp_operators(workload))
    return tuple(transformer_layer(workload, kind))


def layer_kinds(model: ModelSpec) -> tuple[str, ...]:
    """Kind of every transformer layer in order: dense or moe, `-window` where attention sees a
    sliding window only."""
    return tuple(
        kind if window is None else f"{kind}-window"
        for kind, window in zip(model.layer_kinds, model.attention_windows, strict=True)
    )


def transformer_layer(workload: Workload, kind: str) -> list[Operator]:
    w, model = workload, workload.model
    window = model.attention_window if kind.endswith("-window") else None
    attention = mla_operators(w) if model.mla else attention_operators(w, window)
    mlp = moe_operators(w) if kind.startswith("moe") else dense_mlp_operators(w)
    more_norms = [
        operator
        for index in range(2, model.norms_per_layer)
        for operator in norm(w, f"norm_{index}")
    ]
    return [*norm(w, "attention_norm"), *attention, *norm(w, "mlp_norm"), *mlp, *more_norms]


def norm(workload: Workload, name: str, *, saves_input: bool = True) -> list[Operator]:
    w, model = workload, workload.model
    passes = 1 if w.fuses("norm") else 4
    return [
        Pointwise(
            name=name,
            module="layernorm",
            saved_bytes=w.residual_bytes() if saves_input else 0,
            parameters=model.hidden_size * (1 + model.norm_bias),
            forward_bytes=2 * passes * w.residual_bytes(),
            backward_bytes=3 * passes * w.residual_bytes(),
            forward_kernels=passes,
            backward_kernels=1 + passes,
        )
    ]


def attention_operators(workload: Workload, window: int | None) -> list[Operator]:
    """Multi-head or grouped-query self-attention with its residual add."""
    w, model, z = workload, workload.model, workload.element_bytes
    n, t = w.tokens, w.shard.tensor
    heads = model.num_attention_heads // t
    groups = max(model.num_query_groups // t, 1)
    query, key_value = heads * model.head_dim, groups * model.head_dim
    rotary = model.position_embedding == "rope"
    rotary_passes = (1 if w.fuses("rotary") else 4) if rotary else 0
    operators: list[Operator] = []
    operators += column_parallel(
        w,
        "qkv",
        "attention",
        query + 2 * key_value,
        bias=model.qkv_bias,
        matrices=(query, key_value, key_value),
    )
    if model.qk_norm:
        operators.append(
            Pointwise(
                name="qk_norm",
                module="attention",
                saved_bytes=z * n * (query + key_value),
                parameters=2 * model.head_dim,
                forward_bytes=2 * z * n * (query + key_value),
                backward_bytes=3 * z * n * (query + key_value),
                forward_kernels=2,
                backward_kernels=4,
            )
        )
    operators.append(
        Pointwise(
            name="query_key_value",
            module="attention",
            saved_bytes=z * n * (query + 2 * key_value + (query + key_value if rotary else 0)),
            forward_bytes=rotary_passes * 2 * z * n * (query + key_value),
            backward_bytes=2
            * z
            * n
            * (rotary_passes * (query + key_value) + query + 2 * key_value),
            forward_kernels=2 * rotary_passes,
            backward_kernels=1 + 2 * rotary_passes,
        )
    )
    operators += core_attention(w, heads, model.head_dim, model.head_dim, window)
    operators += context_exchange(w, 2 * z * n * key_value)
    operators += row_parallel(
        w, "attention_projection", "attention", query, bias=model.attention_bias
    )
    return operators + residual_add(w, "attention_residual")


def mla_operators(workload: Workload) -> list[Operator]:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1). The down
    projections are held whole by every tensor rank, as Megatron-LM Core does."""
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
            replicated_linear(w, "query_down", "attention", h, mla.q_lora_rank, saves_input=True),
            latent_norm(w, "query_norm", mla.q_lora_rank),
            *column_parallel(
                w, "query_up", "mla_up_proj", query, bias=False, inputs=mla.q_lora_rank
            ),
        ]
    else:
        operators += column_parallel(w, "query", "attention", query, bias=False)
    operators += [
        replicated_linear(
            w, "key_value_down", "attention", h, latent, saves_input=not mla.q_lora_rank
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
        ),
    ]
    operators += core_attention(w, heads, head_dim, mla.v_head_dim, None)
    operators += context_exchange(w, z * n * (query + value))
    operators += row_parallel(w, "attention_projection", "attention", value, bias=False)
    return operators + residual_add(w, "attention_residual")


def replicated_linear(
    workload: Workload, name: str, module: str, inputs: int, outputs: int, *, saves_input: bool
) -> Matmul:
    w = workload
    return Matmul(
        name=name,
        module=module,
        saved_bytes=int(w.operand_bytes * w.residual_tokens * inputs) if saves_input else 0,
        parameters=inputs * outputs,
        m=w.residual_tokens,
        n=outputs,
        k=inputs,
    )


def latent_norm(workload: Workload, name: str, width: int) -> Pointwise:
    bytes_once = workload.element_bytes * workload.residual_tokens * width
    return Pointwise(
        name=name,
        module="attention",
        saved_bytes=bytes_once,
        parameters=width,
        forward_bytes=2 * bytes_once,
        backward_bytes=3 * bytes_once,
        backward_kernels=2,
    )


def core_attention(
    workload: Workload, heads: int, head_dim: int, value_dim: int, window: int | None
) -> list[Operator]:
    """Softmax(QKᵀ)V, fused (keeps one fp32 log-sum-exp per query) or as separate kernels that
    materialise the scores (Korthikanti et al. 2022: 5·a·s²·b bytes with dropout)."""
    w, z = workload, workload.element_bytes
    b, s, keys = w.shard.micro_batch_size, w.local_seq_length, w.seq_length
    sinks = heads if w.model.attention_sinks else 0
    if w.software.attention == "flash":
        return [
            FusedAttention(
                name="attention",
                module="core_attn",
                saved_bytes=4 * b * heads * s,
                parameters=sinks,
                batch=b,
                heads=heads,
                query_length=s,
                key_length=keys,
                head_dim=head_dim,
                value_dim=value_dim,
                window=window,
            )
        ]
    scores = b * heads * s * keys
    mask_bytes = 1 if w.software.dropout else 0
    softmax_passes = 1 if w.fuses("softmax") else 4
    operators: list[Operator] = [
        Matmul(
            name="attention_scores",
            module="core_attn",
            m=s,
            n=keys,
            k=head_dim,
            batch=b * heads,
            weight=False,
            quantized=False,
        ),
        Pointwise(
            name="softmax",
            module="core_attn",
            saved_bytes=z * scores,
            parameters=sinks,
            forward_bytes=2 * z * scores * softmax_passes,
            backward_bytes=3 * z * scores * softmax_passes,
            forward_kernels=softmax_passes,
            backward_kernels=softmax_passes,
        ),
    ]
    if w.software.dropout:
        operators.append(
            Pointwise(
                name="attention_dropout",
                module="core_attn",
                saved_bytes=(z + mask_bytes) * scores,
                forward_bytes=(2 * z + mask_bytes) * scores,
                backward_bytes=(2 * z + mask_bytes) * scores,
            )
        )
    operators += [
        Matmul(
            name="attention_values",
            module="core_attn",
            m=s,
            n=value_dim,
            k=keys,
            batch=b * heads,
            weight=False,
            quantized=False,
        ),
        Pointwise(
            name="attention_transpose",
            module="core_attn",
            forward_bytes=2 * z * w.tokens * heads * value_dim,
            backward_bytes=2 * z * w.tokens * heads * value_dim,
        ),
    ]
    return operators


def context_exchange(workload: Workload, block_bytes: int) -> list[Operator]:
    """Ring exchange of keys and values among the context ranks; the backward pass passes their
    gradients on as well (Megatron-LM `--cp-comm-type p2p`)."""
    if workload.shard.context == 1:
        return []
    return [
        Collective(
            name="context_exchange",
            module="core_attn",
            operation="ring_exchange",
            axis="context",
            buffer_bytes=block_bytes,
            in_forward=True,
            in_backward=True,
            beside="attention",
            hops=workload.shard.context - 1,
        )
    ]


def dense_mlp_operators(workload: Workload) -> list[Operator]:
    return [
        *mlp_operators(workload, workload.model.ffn_hidden_size, "mlp"),
        *residual_add(workload, "mlp_residual"),
    ]


def mlp_operators(workload: Workload, ffn_hidden_size: int, name: str) -> list[Operator]:
    w, model = workload, workload.model
    width = ffn_hidden_size // w.shard.tensor
    projections = 2 if model.gated_mlp else 1
    return [
        *column_parallel(
            w,
            f"{name}_up",
            "mlp",
            projections * width,
            bias=model.linear_bias,
            matrices=(width,) * projections,
        ),
        activation(w, f"{name}_activation", w.tokens, width),
        *row_parallel(
            w,
            f"{name}_down",
            "mlp",
            width,
            bias=model.linear_bias,
            saved_bytes=int(w.operand_bytes * w.tokens * width),
        ),
    ]


def activation(
    workload: Workload, name: str, tokens: int, width: int, *, expert: bool = False
) -> Pointwise:
    """GELU or a gated activation with its bias: reads its input (twice as wide when gated)."""
    z = workload.element_bytes
    inputs = 2 if workload.model.gated_mlp else 1
    passes = 1 if workload.fuses("bias_activation") else 2 + inputs
    return Pointwise(
        name=name,
        module="moe_act" if expert else "mlp",
        expert=expert,
        saved_bytes=z * tokens * width * inputs,
        forward_bytes=z * tokens * width * (inputs + 1) * passes,
        backward_bytes=z * tokens * width * (2 * inputs + 1) * passes,
        forward_kernels=passes,
        backward_kernels=passes,
    )


def moe_operators(workload: Workload) -> list[Operator]:
    """Router, token dispatch, grouped expert matmuls, combine, shared experts.

    Megatron-LM's all-to-all dispatcher: every device sends its residual tokens' top-k copies to
    the expert ranks and gathers over the expert-tensor ranks. `expert_imbalance` is the tokens of
    the fullest expert rank over the mean.
    """
    w, model, z = workload, workload.model, workload.element_bytes
    moe = model.moe
    assert moe is not None
    shard, h, r = w.shard, model.hidden_size, w.residual_tokens
    routed = r * moe.top_k
    received = int(routed * shard.expert_tensor * w.expert_imbalance)
    experts = moe.num_experts // shard.expert
    width = moe.ffn_hidden_size // shard.expert_tensor
    projections = 2 if model.gated_mlp else 1
    operators: list[Operator] = [
        Matmul(
            name="router",
            module="moe",
            parameters=moe.num_experts * (h + moe.router_bias),
            saved_bytes=z * r * h + 8 * r * moe.num_experts,
            m=r,
            n=moe.num_experts,
            k=h,
            quantized=False,
        ),
        Pointwise(
            name="route",
            module="moe",
            forward_bytes=12 * r * moe.num_experts,
            backward_bytes=12 * r * moe.num_experts,
            forward_kernels=10,
            backward_kernels=8,
        ),
        permutation(w, "dispatch", routed),
    ]
    operators += expert_exchange(w, "dispatch", routed)
    operators += [
        GroupedMatmul(
            name="expert_up",
            module="experts",
            expert=True,
            saved_bytes=int(w.operand_bytes * received * h),
            parameters=experts
            * (h * projections * width + model.linear_bias * projections * width),
            groups=experts,
            m=received,
            n=projections * width,
            k=h,
        ),
        activation(w, "expert_activation", received, width, expert=True),
        GroupedMatmul(
            name="expert_down",
            module="experts",
            expert=True,
            saved_bytes=int(w.operand_bytes * received * width),
            parameters=experts * (width * h + model.linear_bias * h),
            groups=experts,
            m=received,
            n=h,
            k=width,
        ),
    ]
    operators += expert_exchange(w, "combine", routed)
    operators.append(permutation(w, "combine", routed))
    if moe.shared_expert_ffn_hidden_size:
        operators += mlp_operators(w, moe.shared_expert_ffn_hidden_size, "shared_expert")
    return operators + residual_add(w, "mlp_residual")


def permutation(workload: Workload, name: str, routed: int) -> Pointwise:
    """Sorting tokens by destination, and again by expert on arrival; the way back also weighs the
    copies of a token and adds them up in fp32. One kernel each way when fused (Megatron-LM
    `moe_utils.py` `permute`, `sort_chunks_by_idxs`, `unpermute`)."""
    bytes_once = workload.element_bytes * routed * workload.model.hidden_size
    passes = 1 if workload.software.expert.fused_permutation else 2
    if name == "combine" and passes > 1:
        passes += 2
    return Pointwise(
        name=f"{name}_permute",
        module="moe",
        forward_bytes=2 * passes * bytes_once,
        backward_bytes=2 * passes * bytes_once,
        forward_kernels=2 * passes,
        backward_kernels=2 * passes,
    )


def expert_exchange(workload: Workload, name: str, routed: int) -> list[Operator]:
    """All-to-all over the expert ranks, then gather (or reduce-scatter) over expert-tensor."""
    shard = workload.shard
    buffer_bytes = workload.element_bytes * routed * workload.model.hidden_size
    operators: list[Operator] = []
    if shard.expert > 1:
        operators.append(
            Collective(
                name=f"{name}_all_to_all",
                module="moe",
                expert=True,
                operation="all_to_all",
                axis="expert",
                buffer_bytes=int(buffer_bytes * workload.expert_imbalance),
                in_forward=True,
                in_backward=True,
                copies=workload.token_copies,
            )
        )
    if shard.expert_tensor > 1:
        operators.append(
            Collective(
                name=f"{name}_expert_tensor",
                module="moe",
                expert=True,
                operation="all_gather" if name == "dispatch" else "reduce_scatter",
                axis="expert_tensor",
                buffer_bytes=buffer_bytes * shard.expert_tensor,
                in_forward=True,
                in_backward=True,
            )
        )
    return operators


def column_parallel(
    workload: Workload,
    name: str,
    module: str,
    outputs: int,
    *,
    bias: bool,
    inputs: int | None = None,
    matrices: tuple[int, ...] = (),
) -> list[Operator]:
    """A linear layer whose outputs are split over the tensor ranks.

    Sequence parallelism gathers the input in the forward pass and again, beside the input
    gradient, in the backward pass, and reduce-scatters the input gradient beside the weight
    gradient; without it the input gradient is all-reduced there (Megatron-LM
    `LinearWithGradAccumulationAndAsyncCommunication`). `inputs` defaults to the hidden size.
    """
    w, z = workload, workload.element_bytes
    width = inputs or w.model.hidden_size
    matmul = Matmul(
        name=name,
        module=module,
        saved_bytes=int(w.operand_bytes * w.residual_tokens * width),
        parameters=outputs * (width + bias),
        m=w.tokens,
        n=outputs,
        k=width,
        matrices=matrices,
    )
    if w.shard.tensor == 1:
        return [matmul]
    beside = "weight_gradient" if w.software.tensor_backward_overlap else ""
    whole = z * w.tokens * width
    if not w.shard.sequence_parallel:
        return [matmul, tensor_collective(f"{name}_reduce", "all_reduce", whole, False, beside)]
    return [
        tensor_collective(f"{name}_gather", "all_gather", whole, True, None),
        matmul,
        tensor_collective(f"{name}_regather", "all_gather", whole, False, beside),
        tensor_collective(f"{name}_scatter", "reduce_scatter", whole, False, beside),
    ]


def tensor_collective(
    name: str, operation: str, buffer_bytes: int, forward: bool, beside: str | None
) -> Collective:
    """One tensor-parallel collective of the forward pass, or of the backward pass."""
    return Collective(
        name=name,
        module="tensor_parallel",
        operation=operation,
        axis="tensor",
        buffer_bytes=buffer_bytes,
        in_forward=forward,
        in_backward=not forward,
        beside=beside or "",
    )


def row_parallel(
    workload: Workload,
    name: str,
    module: str,
    inputs: int,
    *,
    bias: bool,
    saved_bytes: int | None = None,
) -> list[Operator]:
    """A linear layer whose inputs are split over the tensor ranks: its output is all-reduced, or
    reduce-scattered under sequence parallelism, whose backward pass gathers the gradient first."""
    w, z, h = workload, workload.element_bytes, workload.model.hidden_size
    kept = z * w.tokens * inputs if saved_bytes is None else saved_bytes
    matmul = Matmul(
        name=name,
        module=module,
        saved_bytes=kept,
        parameters=inputs * h + bias * h,
        m=w.tokens,
        n=h,
        k=inputs,
    )
    if w.shard.tensor == 1:
        return [matmul]
    whole = z * w.tokens * h
    if not w.shard.sequence_parallel:
        return [matmul, tensor_collective(f"{name}_reduce", "all_reduce", whole, True, None)]
    return [
        matmul,
        tensor_collective(f"{name}_scatter", "reduce_scatter", whole, True, None),
        tensor_collective(f"{name}_gather", "all_gather", whole, False, None),
    ]


def residual_add(workload: Workload, name: str) -> list[Operator]:
    """Bias, dropout and the add to the residual stream, one kernel when fused."""
    w = workload
    once = w.residual_bytes()
    mask_bytes = w.residual_tokens * w.model.hidden_size if w.software.dropout else 0
    passes = 1 if w.fuses("bias_dropout_add") else 2
    return [
        Pointwise(
            name=name,
            module="residual",
            saved_bytes=mask_bytes,
            forward_bytes=3 * passes * once + mask_bytes,
            backward_bytes=(2 * once + mask_bytes if w.software.dropout else 0) + 3 * once,
            forward_kernels=passes,
            backward_kernels=2 if w.software.dropout else 1,
        )
    ]


def embedding_operators(workload: Workload) -> list[Operator]:
    """Token (and position) lookup; the backward pass scatters into a dense gradient and adds it
    to the main gradient (PyTorch `embedding_dense_backward`)."""
    w, model, z = workload, workload.model, workload.element_bytes
    h, n, t = model.hidden_size, w.tokens, w.shard.tensor
    vocabulary = model.padded_vocab_size(t) // t
    whole = z * n * h
    positions = model.seq_length or w.seq_length
    learned = positions * h if model.position_embedding == "learned" else 0
    dropout_bytes = w.residual_tokens * h if w.software.dropout else 0
    operators: list[Operator] = [
        Pointwise(
            name="embedding",
            module="embedding",
            saved_bytes=8 * n + dropout_bytes,
            parameters=vocabulary * h + learned,
            forward_bytes=(4 if learned else 2) * whole + 3 * dropout_bytes,
            backward_bytes=3 * whole + vocabulary * h * (2 * z + 8),
            forward_kernels=3,
            backward_kernels=6,
        )
    ]
    if model.embedding_norm:
        operators += norm(w, "embedding_norm")
    if t > 1:
        operation = "reduce_scatter" if w.shard.sequence_parallel else "all_reduce"
        operators.append(tensor_collective("embedding_reduce", operation, whole, True, None))
        if w.shard.sequence_parallel:
            operators.append(
                tensor_collective("embedding_gather", "all_gather", whole, False, None)
            )
    return operators


def head_operators(workload: Workload) -> list[Operator]:
    """Final norm, vocabulary projection and cross-entropy.

    Megatron-LM's `vocab_parallel_cross_entropy` converts the logits to fp32, keeps the
    probabilities, and walks over them in separate kernels: conversion (z + 4 bytes per logit),
    maximum (4), subtraction (8), exponential (8), sum (4), division (8). Compiled
    (`fused_cross_entropy.py`), subtraction and exponential are one, and so is the backward pass.
    """
    w, model, z = workload, workload.model, workload.element_bytes
    t, n = w.shard.tensor, w.tokens
    vocabulary = model.padded_vocab_size(t) // t
    logits = n * vocabulary
    fused = w.fuses("cross_entropy")
    projection = column_parallel(w, "logits", "head", vocabulary, bias=False)
    operators = [*norm(w, "final_norm"), *projection]
    operators.append(
        Pointwise(
            name="cross_entropy",
            module="logits",
            saved_bytes=4 * logits,
            forward_bytes=logits * (z + 4 + 4 + (8 if fused else 16) + 4 + 8),
            backward_bytes=logits * ((4 + z) if fused else (8 + 4 + z)),
            forward_kernels=6 if fused else 12,
            backward_kernels=1 if fused else 4,
        )
    )
    if t > 1:
        operators.append(tensor_collective("loss_reduce", "all_reduce", 3 * 4 * n, True, None))
    return operators


def mtp_operators(workload: Workload) -> list[Operator]:
    """One multi-token-prediction module (DeepSeek-V3, arXiv 2412.19437, section 2.2): two norms,
    the projection of [hidden; embedding] to hidden, a transformer layer, and the shared head."""
    w, h = workload, workload.model.hidden_size
    projection = Matmul(
        name="mtp_projection",
        module="mlp",
        saved_bytes=int(w.operand_bytes * w.tokens * 2 * h),
        parameters=2 * h * h // w.shard.tensor,
        m=w.tokens,
        n=h // w.shard.tensor,
        k=2 * h,
    )
    return (
        [*norm(w, "mtp_hidden_norm"), *norm(w, "mtp_embedding_norm"), projection]
        + transformer_layer(w, w.model.layer_kinds[-1])
        + [
            replace(operator, parameters=0) if operator.module == "head" else operator
            for operator in head_operators(w)
        ]
    )
