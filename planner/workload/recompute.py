"""Selective recomputation: what a layer keeps, and what the backward pass does again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from planner.workload.operators import Collective, FusedAttention, Matmul, Operator, Pointwise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.workload.workload import Workload

EVERY_SECOND_MATMUL = "every_second_matmul"


class Selective(NamedTuple):
    """Of one operator: bytes kept from the forward pass, share of the forward pass done again."""

    kept_bytes: int
    redone_share: float


def selective(workload: Workload, operators: Sequence[Operator]) -> tuple[Selective, ...]:
    """What the software profile's selective recomputation does to each operator of a layer.

    By module: the listed modules keep nothing and are done again (Megatron-LM
    `--recompute-modules`); a mixture as a whole keeps its input (`moe_layer.py`,
    `moe_layer_recompute`). By operator: attention and every second matmul keep their outputs, all
    else is done again (torchtitan `activation_checkpoint.selective_ac_option: op`).
    """
    modules = frozenset(workload.software.recompute.selective_modules)
    if EVERY_SECOND_MATMUL in modules:
        return tuple(_by_operator(workload, operators))
    return tuple(
        Selective(_input_bytes(workload, operator), 1.0)
        if not modules.isdisjoint(_units(operator))
        else Selective(operator.saved_bytes, 0.0)
        for operator in operators
    )


_UNITS = {"experts": ("experts", "moe"), "moe_act": ("moe_act", "moe")}


def _units(operator: Operator) -> tuple[str, ...]:
    """The modules of `--recompute-modules` that an operator is part of."""
    if operator.name.startswith("shared_expert"):
        return ("shared_experts", "moe")
    return _UNITS.get(operator.module) or (operator.module,)


def _input_bytes(workload: Workload, operator: Operator) -> int:
    """What a module done again reads: a mixture its tokens, through the router. The others start
    from what stays for other reasons."""
    if operator.name != "router":
        return 0
    return workload.element_bytes * workload.residual_tokens * workload.model.hidden_size


def _by_operator(workload: Workload, operators: Sequence[Operator]) -> list[Selective]:
    z = workload.element_bytes
    layer_input = workload.residual_bytes()
    result: list[Selective] = []
    matmuls = 0
    for operator in operators:
        match operator:
            case Matmul():
                kept = sum(operator.parts[matmuls % 2 :: 2])
                matmuls += len(operator.parts)
                share = 1 - kept / operator.n
                result.append(Selective(z * operator.m * operator.batch * kept, share))
            case FusedAttention():
                tokens = operator.batch * operator.query_length
                output = z * tokens * operator.heads * operator.value_dim
                result.append(Selective(output + operator.saved_bytes, 0.0))
            case Pointwise() if operator.module == "logits":
                result.append(Selective(operator.saved_bytes, 0.0))
            case Pointwise() | Collective():
                result.append(Selective(layer_input, 1.0))
                layer_input = 0
            case _:
                result.append(Selective(operator.saved_bytes, 0.0))
    return result
