"""Model FLOPs: what the algorithm needs, without recomputation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.layers import layer_kinds, layer_operators
from planner.workload.operators import FusedAttention, GroupedMatmul, Matmul, Operator
from planner.workload.shard import Shard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.training.scenario import Scenario


def model_flops_per_token(scenario: Scenario) -> float:
    """FLOPs of one token's forward and backward pass (twice the forward), matmuls and attention.

    Attention counts as the kernel does it: the causal half with fused attention, the whole square
    with unfused kernels (Narayanan et al. 2021, appendix: 72·B·s·l·h²(1 + s/6h + V/12lh)).
    """
    workload = scenario.workload(Shard())
    kinds = [*layer_kinds(scenario.model), *["mtp"] * scenario.model.mtp_num_layers, "head"]
    per_kind = {kind: _forward_flops(layer_operators(workload, kind)) for kind in set(kinds)}
    return 3 * sum(per_kind[kind] for kind in kinds) / workload.tokens


def _forward_flops(operators: Sequence[Operator]) -> float:
    return sum(
        operator.flops
        for operator in operators
        if isinstance(operator, Matmul | GroupedMatmul | FusedAttention)
    )
