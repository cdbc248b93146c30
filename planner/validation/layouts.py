"""Layers of every chunk of a measured run that does not print them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.layers import layer_operators
from planner.workload.operators import FusedAttention, GroupedMatmul, Matmul
from planner.workload.shard import Shard

if TYPE_CHECKING:
    from planner.scenario import Scenario

BALANCED = "1f1b-balanced"
"""1F1B whose transformer layers were moved away from the stage with the output layer."""


def spread_layers(num_layers: int, chunks: int) -> tuple[int, ...]:
    """Equal chunks; what does not divide goes one each to the middle ones. Chunks may be empty."""
    each, rest = divmod(num_layers, chunks)
    first = (chunks - rest) // 2
    return tuple(each + (first <= index < first + rest) for index in range(chunks))


def balanced_layers(scenario: Scenario, chunks: int) -> tuple[int, ...]:
    """As many layers on the last chunk as leave the busiest chunk least to do when the output
    layer counts with its FLOPs, the others equal with the larger ones late (Yeung et al. 2024,
    Balancing Pipeline Parallelism with Vocabulary Parallelism, section 6.1, "Redis")."""
    num_layers = scenario.model.num_layers
    if chunks == 1:
        return (num_layers,)
    output = _forward_flops(scenario, "head") / _forward_flops(scenario, scenario.kinds[0])

    def busiest(last: int) -> float:
        return max(-(-(num_layers - last) // (chunks - 1)), last + output)

    last = min(range(num_layers // chunks + 1), key=lambda count: (busiest(count), -count))
    each, rest = divmod(num_layers - last, chunks - 1)
    return (*[each] * (chunks - 1 - rest), *[each + 1] * rest, last)


def _forward_flops(scenario: Scenario, kind: str) -> float:
    operators = layer_operators(scenario.workload(Shard()), kind)
    return sum(
        operator.flops
        for operator in operators
        if isinstance(operator, Matmul | GroupedMatmul | FusedAttention)
    )
