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
from typing import TYPE_CHECKING

from planner.workload.attention import attention_operators
from planner.workload.latent_attention import mla_operators
from planner.workload.mlp import dense_mlp_operators
from planner.workload.moe import moe_operators
from planner.workload.operators import Matmul, Pointwise
from planner.workload.pointwise import norm
from planner.workload.shard import Shard
from planner.workload.vocabulary import embedding_operators, head_operators

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
            layer = transformer_layer(workload, workload.model.layer_kinds[-1])
            return tuple(mtp_operators(workload, layer))
    return tuple(transformer_layer(workload, kind))


def seen_by(kind: str, shard: Shard) -> Shard:
    """The part of a shard that layers of this kind depend on: two shards that agree in it give the
    same operators. Only mixtures depend on the expert degrees, and only the two ends on the
    vocabulary; a multi-token prediction module depends on everything."""
    if kind == "mtp":
        return shard
    mixture, end = kind.startswith("moe"), kind in ("embedding", "head")
    return Shard(
        tensor=shard.tensor,
        context=shard.context,
        expert=shard.expert if mixture else 1,
        expert_tensor=shard.expert_tensor if mixture else 1,
        micro_batch_size=shard.micro_batch_size,
        sequence_parallel=shard.sequence_parallel,
        dispatcher=shard.dispatcher if mixture else "",
        expert_overlap=shard.expert_overlap and mixture,
        vocabulary=shard.vocabulary if end else 1,
    )


class OperatorLists:
    """Operators of layers under many shards. Parts that layers have in common are made once, as one
    object that all of them share."""

    def __init__(self, workload_of: Callable[[Shard], Workload]) -> None:
        self._workload_of = workload_of
        self._layers: dict[tuple[str, Shard], tuple[Operator, ...]] = {}
        self._attention: dict[tuple[bool, Shard], list[Operator]] = {}

    def layer(self, kind: str, shard: Shard) -> tuple[Operator, ...]:
        """`layer_operators` of a shard."""
        key = kind, seen_by(kind, shard)
        found = self._layers.get(key)
        if found is None:
            found = self._layers[key] = tuple(self._make(kind, key[1]))
        return found

    def _make(self, kind: str, shard: Shard) -> Sequence[Operator]:
        workload = self._workload_of(shard)
        if kind in ("embedding", "head"):
            return layer_operators(workload, kind)
        if kind == "mtp":
            return mtp_operators(workload, self.layer(workload.model.layer_kinds[-1], shard))
        local = kind.endswith("-window")
        key = local, seen_by("dense", shard)
        if key not in self._attention:
            self._attention[key] = _attention(self._workload_of(key[1]), local=local)
        return transformer_layer(workload, kind, self._attention[key])


@lru_cache(maxsize=64)
def layer_kinds(model: ModelSpec) -> tuple[str, ...]:
    """Kind of every transformer layer in order: dense or moe, with `-window` where attention sees
    only a sliding window or a chunk."""
    return tuple(
        f"{kind}-window" if local else kind
        for kind, local in zip(model.layer_kinds, model.local_attention, strict=True)
    )


def transformer_layer(
    workload: Workload, kind: str, attention: list[Operator] | None = None
) -> list[Operator]:
    """A layer of attention and MLP; `attention`: its operators, if they have been made already."""
    w, model = workload, workload.model
    if attention is None:
        attention = _attention(w, local=kind.endswith("-window"))
    mlp = moe_operators(w) if kind.startswith("moe") else dense_mlp_operators(w)
    if model.parallel_attention:
        return parallel_layer(w, attention, mlp)
    more_norms = [
        operator
        for index in range(2, model.norms_per_layer)
        for operator in norm(w, f"norm_{index}")
    ]
    return [*norm(w, "attention_norm"), *attention, *norm(w, "mlp_norm"), *mlp, *more_norms]


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
    | {f"attention_projection_{end}" for end in ("reduce", "scatter", "gather")}
)
"""Operators that the attention's output does not need where the MLP's output is added to it first.
"""


def mtp_operators(workload: Workload, layer: Sequence[Operator]) -> list[Operator]:
    """One multi-token-prediction module (DeepSeek-V3, arXiv 2412.19437, section 2.2): two norms,
    the projection of [hidden; embedding] to hidden, a transformer layer like the model's last, and
    the shared head."""
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
    head = [
        replace(operator, parameters=0) if operator.module == "head" else operator
        for operator in head_operators(w)
    ]
    norms = [*norm(w, "mtp_hidden_norm"), *norm(w, "mtp_embedding_norm")]
    return [*norms, projection, *layer, *head]
