"""Prices a plan's step as a function of the rate of its links.

The timing model itself prices the step, on topologies on which the slowest hop of every ring has a
given rate. So overlap, sharding and expert groups count as they do in an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.budget import UNLIMITED
from planner.hardware.fabric import Hop
from planner.training.costs import cost_table
from planner.training.step.parts import step_parts
from planner.training.step.passes import chunk_passes
from planner.training.step.reduction import (
    copies_reduction_s,
    gradient_reduction_s,
    stage_gathers_s,
)
from planner.training.step.sends import boundary_sends

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario

PRICED = 64
"""Distinct links up to which each is priced. Beyond it, the next faster one that is priced counts,
since no part of a step falls when links slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedStep:
    """Parts of a step by the pair of classes of nodes at the ends of the slowest hop, [K, K] or
    [K, K, p]. `forward_s`, `backward_s`: a send to the receiving class. `reduction_s`, `gather_s`:
    of every stage. `inside_s`: how much longer all passes of the slowest stage take than on the
    ideal topology."""

    forward_s: NDArray[np.float64]
    backward_s: NDArray[np.float64]
    reduction_s: NDArray[np.float64]
    gather_s: NDArray[np.float64]
    inside_s: NDArray[np.float64]


def rated_step(
    ideal: Scenario,
    table: CostTable,
    batch: Batch,
    *,
    sends: tuple[NDArray[np.float64], NDArray[np.float64]],
    rings: tuple[NDArray[np.float64], NDArray[np.float64]],
    crosses: NDArray[np.bool_],
    crosses_inside: bool,
    budget: Budget = UNLIMITED,
) -> RatedStep:
    """Prices a plan's step for every distinct link. `ideal` is the scenario on an `IdealTopology`,
    `table` its cost table; `sends` and `rings`: bytes/s and latency [K, K] of links that pipelines
    and that rings use; `crosses` [p·v − 1]: the boundaries between units. `crosses_inside`: groups
    of the layers leave their unit, so that layers must be priced again. Raises: OutOfTime."""
    stride = None if crosses_inside else int(batch.tensor[0])
    passes = chunk_passes(ideal, table, batch)
    forward_s, backward_s = passes.forward_s.sum(axis=-1), passes.backward_s.sum(axis=-1)
    usual_s = step_parts(ideal, table, batch).busy_s[0] if crosses_inside else None

    def send(slow: Scenario) -> NDArray[np.float64]:
        found = boundary_sends(slow, table, batch)
        ways = (found.forward_s, found.backward_s)
        return np.array([way[0][crosses].max(initial=0.0) for way in ways])

    def ring(slow: Scenario) -> NDArray[np.float64]:
        if usual_s is not None:
            parts = step_parts(slow, cost_table(slow, table.shards), batch)
            longer_s = (parts.busy_s[0] - usual_s).max()
            return np.concatenate(
                ([longer_s], parts.reduction_s[0], parts.stage_gathers_s[0])
            ).clip(0.0)
        reduction_s = gradient_reduction_s(slow, table, batch, backward_s)
        reduction_s = reduction_s + copies_reduction_s(slow, table, batch)
        gathers_s = stage_gathers_s(slow, table, batch, forward_s)
        return np.concatenate(([0.0], reduction_s[0], gathers_s[0]))

    def on(hop: Hop) -> Scenario:
        return ideal.slowed(hop, stride=stride)

    of_sends = _by_link(*sends, lambda hop: send(on(hop)), budget)
    of_rings = _by_link(*rings, lambda hop: ring(on(hop)), budget)
    return RatedStep(
        forward_s=of_sends[..., 0],
        backward_s=of_sends[..., 1],
        reduction_s=of_rings[..., 1 : 1 + batch.pipeline],
        gather_s=of_rings[..., 1 + batch.pipeline :],
        inside_s=of_rings[..., 0],
    )


def _by_link(
    bytes_per_s: NDArray[np.float64],
    latency_s: NDArray[np.float64],
    priced: Callable[[Hop], NDArray[np.float64]],
    budget: Budget,
) -> NDArray[np.float64]:
    """[K, K, parts]: what `priced` gives for bytes/s and latency [K, K], or a little less. Raises:
    OutOfTime."""
    rates, rate = _distinct(bytes_per_s, budget)
    latencies, latency = _distinct(latency_s, budget)
    present, link = _distinct(latency * len(rates) + rate, budget)
    hops = [
        Hop(
            bytes_per_s=float(rates[one % len(rates)]),
            latency_s=float(latencies[one // len(rates)]),
        )
        for one in present.tolist()
    ]
    apart = max(1, len(hops) // PRICED)
    found: list[NDArray[np.float64]] = []
    for number, hop in enumerate(reversed(hops)):
        budget.check()
        follows = number % apart and hop.latency_s == hops[-number].latency_s
        found.append(found[-1] if follows else priced(hop))
    return np.array(found[::-1])[link]


def _distinct(
    values: NDArray[np.generic], budget: Budget
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The distinct values of [K, K], ascending, and for each entry the index of its value."""
    found = np.empty(0, dtype=values.dtype)
    for row in values:
        budget.check()
        found = np.union1d(found, row)
    return found, np.searchsorted(found, values)
