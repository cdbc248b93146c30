"""Selective recomputation: what a layer keeps, and what the backward pass repeats."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from planner.workload.expert_parts import SHARED_EXPERT
from planner.workload.movable import Movable
from planner.workload.operators import Collective, FusedAttention, Matmul, Operator, Pointwise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.specs.model.spec import ModelSpec
    from planner.specs.software import SoftwareProfile
    from planner.workload.workload import Workload

EVERY_SECOND_MATMUL = "every_second_matmul"


class Selective(NamedTuple):
    """For one operator: bytes kept from the forward pass, the share of the forward pass that is
    repeated, and of what the operator keeps without recomputation, and with it, the bytes that
    offloading may move to the host."""

    kept_bytes: int
    redone_share: float
    movable_bytes: int = 0
    kept_movable_bytes: int = 0


def selective(workload: Workload, operators: Sequence[Operator]) -> tuple[Selective, ...]:
    """What the software profile's selective recomputation does to each operator of a layer.

    By module: the listed modules keep nothing and are repeated (Megatron-LM `--recompute-modules`);
    a mixture as a whole keeps its input (`moe_layer.py`, `moe_layer_recompute`). By operator:
    attention and every second matmul keep their outputs, everything else is repeated (torchtitan
    `activation_checkpoint.selective_ac_option: op`). Embedding and head do not belong to a layer,
    and are not touched (`apply_ac`: `layers` are wrapped).
    """
    end = _layer_end(operators)
    layer = operators[:end]
    modules = frozenset(workload.software.recompute.selective_modules)
    if EVERY_SECOND_MATMUL in modules:
        effects = _by_operator(workload, layer)
    else:
        effects = _by_modules(workload, layer, modules)
    effects += [Selective(operator.saved_bytes, 0.0) for operator in operators[end:]]
    movable, again = Movable.of(workload, frozenset()), Movable.of(workload, modules)
    return tuple(
        Selective(
            kept_bytes,
            redone_share,
            movable.bytes_of(operator, operator.saved_bytes),
            again.bytes_of(operator, kept_bytes),
        )
        for operator, (kept_bytes, redone_share, _, _) in zip(operators, effects, strict=True)
    )


def _by_modules(
    workload: Workload, operators: Sequence[Operator], modules: frozenset[str]
) -> list[Selective]:
    """An activation that is computed again keeps its input; its output is made again for the
    product that reads it, which then keeps nothing (Megatron-LM `tensor_parallel/random.py`,
    `CheckpointWithoutOutput`; `moe/experts.py`)."""
    effects: list[Selective] = []
    entered: set[str] = set()
    for operator in operators:
        again = _recomputed_with(modules, operator.name, operator.module)
        alone = again == {operator.module} & ACTIVATIONS
        if not again:
            made_again = PRODUCED_BY.get(operator.name, "") in modules
            effects.append(Selective(0 if made_again else operator.saved_bytes, 0.0))
        elif alone and operator.module not in entered and isinstance(operator, Pointwise):
            effects.append(Selective(operator.saved_bytes - operator.output_bytes, 1.0))
        else:
            effects.append(Selective(_input_bytes(workload, operator), 1.0))
        entered |= again
    return effects


def _layer_end(operators: Sequence[Operator]) -> int:
    """Where the embedding or the head begins; the head starts with its norm."""
    for index, operator in enumerate(operators):
        if operator.module in ("embedding", "head") or operator.name == "final_norm":
            return index
    return len(operators)


_UNITS = {
    "experts": ("experts", "moe"),
    "moe_act": ("moe_act", "moe"),
    "mlp_act": ("mlp_act", "mlp"),
}
ACTIVATIONS = {"moe_act", "mlp_act"}
"""Modules that are an activation function alone."""
PRODUCED_BY = {"expert_down": "moe_act", "mlp_down": "mlp_act"}
"""Products, and the module whose output they keep."""


@lru_cache(maxsize=4096)
def _recomputed_with(modules: frozenset[str], name: str, module: str) -> frozenset[str]:
    """Which of the `modules` of `--recompute-modules` an operator of this name and module is part
    of."""
    if name.startswith(SHARED_EXPERT):
        return modules.intersection(("shared_experts", "moe"))
    return modules.intersection(_UNITS.get(module) or (module,))


def _input_bytes(workload: Workload, operator: Operator) -> int:
    """What a repeated module reads: a mixture reads its tokens, through the router. The inputs of
    other modules are kept for other reasons."""
    if operator.name != "router":
        return 0
    return workload.element_bytes * workload.residual_tokens * workload.model.hidden_size


def _by_operator(workload: Workload, operators: Sequence[Operator]) -> list[Selective]:
    """torchtitan `activation_checkpoint.py`: the outputs of attention, of reduce-scatters and
    all-to-alls, and of every second product are kept; the router's product does not count, and
    products of experts are repeated. A compiler drops the output of a product that only the layer's
    own output needs (AOTAutograd keeps what the backward pass reads); eager caching keeps it."""
    z = workload.element_bytes
    layer_input = workload.residual_bytes()
    result: list[Selective] = []
    matmuls = 0
    for index, operator in enumerate(operators):
        match operator:
            case Matmul() if operator.name == "router":
                result.append(Selective(0, 1.0))
            case Matmul():
                kept = sum(operator.parts[matmuls % 2 :: 2])
                matmuls += len(operator.parts)
                share = 1 - kept / operator.n
                if workload.compiled and _only_added(operators[index + 1 :]):
                    kept, share = 0, 0.0
                result.append(Selective(z * operator.m * operator.batch * kept, share))
            case FusedAttention():
                tokens = operator.batch * operator.query_length
                output = z * tokens * operator.heads * operator.value_dim
                result.append(Selective(output + operator.saved_bytes, 0.0))
            case Collective() if operator.in_forward and operator.operation in _KEPT_COLLECTIVES:
                ranks = 1 if operator.operation == "all_to_all" else _ranks(workload, operator)
                result.append(Selective(operator.buffer_bytes // ranks, 0.0))
            case Pointwise() | Collective():
                result.append(Selective(layer_input, 1.0))
                layer_input = 0
            case _:
                result.append(Selective(0, 1.0))
    return result


_KEPT_COLLECTIVES = ("reduce_scatter", "all_to_all")


def _ranks(workload: Workload, collective: Collective) -> int:
    ranks: int = getattr(workload.shard, collective.axis)
    return ranks


def _only_added(following: Sequence[Operator]) -> bool:
    """Whether an output goes into the layer's own output and nowhere else."""
    return all(isinstance(o, Collective) or o.module == "residual" for o in following)


def modules_of_model(
    modules: tuple[str, ...], model: ModelSpec, software: SoftwareProfile
) -> tuple[str, ...]:
    """Those of some modules to compute again that the model has, as the framework runs it."""
    moe = model.moe
    absent = set()
    if moe is None or not software.expert.grouped_matmul:
        absent.add("moe_act")
    if moe is None:
        absent.add("moe")
    if moe is None or not moe.shared_expert_ffn_hidden_size:
        absent.add("shared_experts")
    if model.mla is None:
        absent.add("mla_up_proj")
    return tuple(module for module in modules if module not in absent)
