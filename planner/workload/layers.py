"""A model as layers of operators with this device's local shapes.

What each operator keeps for the backward pass follows Korthikanti et al. 2022 (section 4, the
34·s·b·h + 5·a·s²·b of one GPT layer) for the unfused kernels, and TransformerEngine's modules as
Megatron-LM Core uses them for the fused ones. An operator is charged with the tensors that nothing
else keeps: the rotary operator with the rotated queries and keys, the projection with the
attention's output.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.workload.attention import attention_operators
from planner.workload.latent_attention import mla_operators
from planner.workload.mlp import dense_mlp_operators
from planner.workload.moe import moe_operators
from planner.workload.operators import Matmul, Pointwise
from planner.workload.pointwise import norm
from planner.workload.vocabulary import embedding_operators, head_operators

if TYPE_CHECKING:
    from planner.specs.model.spec import ModelSpec
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


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
    sliding window or a chunk only."""
    return tuple(
        f"{kind}-window" if local else kind
        for kind, local in zip(model.layer_kinds, model.local_attention, strict=True)
    )


def transformer_layer(workload: Workload, kind: str) -> list[Operator]:
    w, model = workload, workload.model
    local = kind.endswith("-window")
    attention = mla_operators(w) if model.mla else attention_operators(w, local=local)
    mlp = moe_operators(w) if kind.startswith("moe") else dense_mlp_operators(w)
    if model.parallel_attention:
        return parallel_layer(w, attention, mlp)
    more_norms = [
        operator
        for index in range(2, model.norms_per_layer)
        for operator in norm(w, f"norm_{index}")
    ]
    return [*norm(w, "attention_norm"), *attention, *norm(w, "mlp_norm"), *mlp, *more_norms]


def parallel_layer(
    workload: Workload, attention: list[Operator], mlp: list[Operator]
) -> list[Operator]:
    """x + attention(norm(x)) + mlp(norm(x)): both read the same residual stream, kept once, and
    with one norm for both the same normalised input; one addition, and one collective, for the two
    outputs (Wang and Komatsuzaki 2021, GPT-J; EleutherAI/gpt-neox `transformer.py`,
    `gpt_j_residual`)."""
    w, shared_norm = workload, workload.model.norms_per_layer == 1
    joined = [operator for operator in attention if operator.name not in _JOINED_OUTPUT]
    for operator in mlp:
        if isinstance(operator, Pointwise) and operator.name == "mlp_residual":
            read = operator.forward_bytes + w.residual_bytes()
            joined.append(replace(operator, forward_bytes=read))
        elif operator.name == "mlp_up" and shared_norm:
            joined.append(replace(operator, saved_bytes=0))
        else:
            joined.append(operator)
    second_norm = [] if shared_norm else norm(w, "mlp_norm", saves_input=False)
    return [*norm(w, "attention_norm"), *second_norm, *joined]


_JOINED_OUTPUT = frozenset(
    {"attention_residual"}
    | {f"attention_projection_{end}" for end in ("reduce", "scatter", "gather")}
)
"""What the output of attention does not need where the MLP's is added to it first."""


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
