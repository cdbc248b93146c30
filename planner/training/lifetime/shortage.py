"""What is left of a job's speed while more nodes are away for repair than there are spare ones."""

from __future__ import annotations

from math import exp, lgamma, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.plan import Plan

NEGLIGIBLE = 1e-9
"""Probability from which on more missing nodes are not looked at."""
_AXIS = {"tp": "tensor", "cp": "context", "dp": "data", "pp": "pipeline"}


def expected_speed(lost_each: float, nodes: float, away: float, spares: int) -> float:
    """Mean share of the speed, from 0 to 1. The number of nodes away has a Poisson distribution
    with mean `away`. Each one beyond the spares costs the share `lost_each`: at worst no two cost
    the same replicas. The others go on with the same batch; the last one takes the job with it."""
    speed, covered, count = 0.0, 0.0, 0
    while count <= spares + nodes and 1 - covered > NEGLIGIBLE:
        chance = exp(count * log(away) - away - lgamma(count + 1)) if away else float(count == 0)
        missing = max(0, count - spares)
        speed += chance * max(0.0, 1 - missing * lost_each)
        covered += chance
        count += 1
    return min(1.0, speed)


def replicas_on_node(plan: Plan, node_devices: int) -> int:
    """Replicas of the model that a node holds a part of, in the rank order of the plan."""
    stride = 1
    for token in plan.placement.order.split("-"):
        if token == "dp":
            break
        stride *= getattr(plan.degrees, _AXIS[token]) if token in _AXIS else 1
    return min(plan.degrees.data, max(1, -(-node_devices // stride)))
