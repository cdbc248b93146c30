"""Prices a plan's step as a function of the rate of its links.

The timing model itself prices the step, on topologies on which the slowest hop of every ring has a
given rate. So overlap, sharding and expert groups count as they do in an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.budget import UNLIMITED
from planner.hardware.fabric import Hop
from planner.hardware.ideal import SlowedTopology
from planner.training.costs import cost_table
from planner.training.step.parts import step_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.hardware.ideal import IdealTopology
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario

RATES = 24
"""Rates at which a step is priced for one latency. Between them its parts are interpolated linearly
in seconds per byte. The interpolation never exceeds the true value: all parts are concave in
seconds per byte, apart from the corners of overlap."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RatedStep:
    """Parts of a step by the link that is the slowest hop. `link` [K, K]: for every pair of
    classes, the index of its link among U different ones. `crossing_s` [U]: there and back across a
    boundary of rows. `gather_s` [U]: the parameter gather after the passes. `reduction_s` [U, p]:
    the gradient reduction. `inside_s` [U, p]: how much longer all passes of a stage take than on
    the ideal topology."""

    link: NDArray[np.int64]
    crossing_s: NDArray[np.float64]
    gather_s: NDArray[np.float64]
    reduction_s: NDArray[np.float64]
    inside_s: NDArray[np.float64]


def rated_step(
    ideal: Scenario,
    table: CostTable,
    batch: Batch,
    bytes_per_s: NDArray[np.float64],
    latency_s: NDArray[np.float64],
    *,
    crosses_inside: bool,
    budget: Budget = UNLIMITED,
) -> RatedStep:
    """Prices a plan's step for every distinct link. `ideal` is the scenario on an `IdealTopology`,
    `table` its cost table; `bytes_per_s` and `latency_s` [K, K]. `crosses_inside`: groups of the
    layers leave their unit, so that layers must be priced again. Raises: OutOfTime."""
    rates, rate = _distinct(1 / bytes_per_s, budget)
    latencies, latency = _distinct(latency_s, budget)
    present, link = _distinct(rate * len(latencies) + latency, budget)
    seconds_per_byte, latency_of = rates[present // len(latencies)], present % len(latencies)
    columns = 2 + 2 * batch.pipeline
    found = np.empty((len(present), columns))
    for index, each in enumerate(latencies):
        here = latency_of == index
        points = np.unique(seconds_per_byte[here])
        if len(points) > RATES:
            points = np.linspace(points[0], points[-1], RATES)
        priced = []
        for at in points.tolist():
            budget.check()
            hop = Hop(bytes_per_s=1 / at, latency_s=each)
            priced.append(_priced(ideal, table, batch, hop, crosses_inside))
        parts = np.array(priced)
        for column in range(columns):
            found[here, column] = np.interp(seconds_per_byte[here], points, parts[:, column])
    usual_s = step_parts(ideal, table, batch).busy_s[0]
    return RatedStep(
        link=link,
        crossing_s=found[:, 0],
        gather_s=found[:, 1],
        reduction_s=found[:, 2 : 2 + batch.pipeline],
        inside_s=np.maximum(found[:, 2 + batch.pipeline :] - usual_s, 0.0),
    )


def _distinct(
    values: NDArray[np.generic], budget: Budget
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The distinct values of [K, K], ascending, and for each entry the index of its value."""
    found = np.empty(0, dtype=values.dtype)
    for row in values:
        budget.check()
        found = np.union1d(found, row)
    return found, np.searchsorted(found, values)


def _priced(
    ideal: Scenario, table: CostTable, batch: Batch, hop: Hop, crosses_inside: bool
) -> NDArray[np.float64]:
    topology: IdealTopology = ideal.topology  # type: ignore[assignment]
    scenario = replace(ideal, topology=SlowedTopology(topology, hop))
    if crosses_inside:
        table = cost_table(scenario, table.shards)
    parts = step_parts(scenario, table, batch)
    there_and_back = parts.sends.forward_s[0] + parts.sends.backward_s[0]
    return np.concatenate(
        (
            [there_and_back.max(initial=0.0), parts.gather_s[0]],
            parts.reduction_s[0],
            parts.busy_s[0],
        )
    )
