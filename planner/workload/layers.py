"""A model as layers of operators with this device's local shapes.

What each operator keeps for the backward pass follows Korthikanti et al. 2022 (section 4, the
34·s·b·h + 5·a·s²·b of one GPT layer) for the unfused kernels, and TransformerEngine's modules as
Megatron-LM Core uses them for the fused ones. An operator is charged with the tensors that nothing
else keeps: the rotary operator with the rotated queries and keys, the projection with the
attention's output.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING, NamedTuple

from planner.workload.attention import attention_operators
from planner.workload.latent_attention import mla_operators
from planner.workload.mlp import dense_mlp_operators
from planner.workload.moe import moe_operators
from planner.workload.operators import Matmul, Pointwise
from planner.workload.pointwise import norm
from planner.workload.shard import Shard
from planner.workload.vocabulary import embedding_operators, head_operators

if TYPE_CHECKING:
    from planner.specs.model.spec import ModelSpec
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload


class LayerPart(NamedTuple):
    """Operators of a layer that follow each other, by name, and the part of a shard that they
    depend on."""

    name: str
    shard: Shard


def layer_parts(model: ModelSpec, kind: str, shard: Shard) -> tuple[LayerPart, ...]:
    """The parts of a layer in forward order; `kind` is one of `layer_kinds`, or "embedding", "head"
    or "mtp". Layers share parts, and so do shards."""
    if kind == "mtp":
        return (
            LayerPart("mtp-start", _as_tokens(seen_by("dense", shard))),
            *layer_parts(model, model.last_layer_kind, shard),
            LayerPart("mtp-end", _as_tokens(seen_by("head", shard))),
        )
    seen = seen_by(kind, shard)
    if seen.expert_overlap:
        seen = seen._replace(expert_overlap=False)
    if kind in ("embedding", "head"):
        return (LayerPart(kind, _as_tokens(seen)),)
    if model.parallel_attention:
        return (LayerPart(kind, seen),)
    attention = "attention-window" if kind.endswith("-window") else "attention"
    mlp = "mixture" if kind.startswith("moe") else "mlp"
    return LayerPart(attention, seen_by("dense", shard)), LayerPart(mlp, _as_tokens(seen))


def _as_tokens(shard: Shard) -> Shard:
    """A shard with as many tokens on a device: nothing but attention tells sequences from parts of
    them."""
    common = gcd(shard.context, shard.micro_batch_size)
    if common == 1:
        return shard
    return shard._replace(
        context=shard.context // common, micro_batch_size=shard.micro_batch_size // common
    )


def part_operators(workload: Workload, name: str) -> tuple[Operator, ...]:
    """Operators of a `LayerPart` in forward order."""
    match name:
        case "embedding":
            return tuple(embedding_operators(workload))
        case "head":
            return tuple(head_operators(workload))
        case "mtp-start":
            return tuple(mtp_start(workload))
        case "mtp-end":
            return tuple(mtp_end(workload))
        case "attention" | "attention-window":
            attention = _attention(workload, local=name.endswith("-window"))
            norms = (norm(workload, f"{beside}_norm") for beside in ("attention", "mlp"))
            return (*next(norms), *attention, *next(norms))
        case "mlp" | "mixture":
            return (*_mlp(workload, name == "mixture"), *_more_norms(workload))
    attention = _attention(workload, local=name.endswith("-window"))
    return tuple(parallel_layer(workload, attention, _mlp(workload, name.startswith("moe"))))


def layer_operators(workload: Workload, kind: str) -> tuple[Operator, ...]:
    """Operators of one layer in forward order; `kind` as in `layer_parts`."""
    parts = layer_parts(workload.model, kind, workload.shard)
    return tuple(one for part in parts for one in part_operators(workload, part.name))


def seen_by(kind: str, shard: Shard) -> Shard:
    """The part of a shard that layers of this kind depend on: two shards that agree in it give the
    same operators. Only mixtures depend on the expert degrees, and only the two ends on the
    vocabulary; a multi-token prediction module depends on everything."""
    if kind == "mtp":
        return shard
    if kind.startswith("moe"):
        return shard if shard.vocabulary == 1 else shard._replace(vocabulary=1)
    return Shard(
        tensor=shard.tensor,
        context=shard.context,
        micro_batch_size=shard.micro_batch_size,
        sequence_parallel=shard.sequence_parallel,
        vocabulary=shard.vocabulary if kind in ("embedding", "head") else 1,
    )


@lru_cache(maxsize=64)
def layer_kinds(model: ModelSpec) -> tuple[str, ...]:
    """Kind of every transformer layer in order: dense or moe, with `-window` where attention sees
    only a sliding window or a chunk."""
    return tuple(
        f"{kind}-window" if local else kind
        for kind, local in zip(model.layer_kinds, model.local_attention, strict=True)
    )


def _mlp(workload: Workload, mixture: bool) -> list[Operator]:
    return moe_operators(workload) if mixture else dense_mlp_operators(workload)


def _more_norms(workload: Workload) -> list[Operator]:
    return [
        operator
        for index in range(2, workload.model.norms_per_layer)
        for operator in norm(workload, f"norm_{index}")
    ]


def _attention(workload: Workload, *, local: bool) -> list[Operator]:
    if workload.model.mla:
        return mla_operators(workload)
    return attention_operators(workload, local=local)


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
    | {f"attention_projection_{end}" for end in ("reduce", "scatter", "amax", "gather")}
)
"""Operators that the attention's output does not need where the MLP's output is added to it first.
"""


def mtp_start(workload: Workload) -> list[Operator]:
    """What comes before the layer of a multi-token-prediction module (DeepSeek-V3, arXiv
    2412.19437, section 2.2): two norms and the projection of [hidden; embedding] to hidden. The
    layer is like the model's last."""
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
    return [*norm(w, "mtp_hidden_norm"), *norm(w, "mtp_embedding_norm"), projection]


def mtp_end(workload: Workload) -> list[Operator]:
    """The head of such a module, which shares its weights with the model's."""
    return [
        replace(operator, parameters=0) if operator.module == "head" else operator
        for operator in head_operators(workload)
    ]
