"""Exchanges of two units of a placed plan, priced in full."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.hosts.placement import placement_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.budget import Budget
    from planner.placement.problem.problem import PlacementProblem
    from planner.training.search.hosts.grid import UnitGrid
    from planner.training.search.hosts.methods import PlacedPlan
    from planner.training.search.hosts.pricing import OrderPrices, PricedOrder

AGREE = 1e-4
"""Share of the step within which program and price agree, so that no further round is needed."""

MOST_EXCHANGED = 20
"""Most units for which exchanges are priced in full."""

PRICED = 120
"""Most exchanges of two units that are priced in full for one plan."""


def exchanged(
    placed: PlacedPlan,
    best: PricedOrder,
    grid: UnitGrid,
    problem: PlacementProblem,
    prices: OrderPrices,
    budget: Budget,
) -> PlacedPlan:
    """The plan, priced as `best`, with pairs of units exchanged while that makes the step shorter,
    those first that the program prefers. Raises: OutOfTime."""
    plan, batch = placed.plan, prices.batch(placed.plan)
    tries = budget.meter(PRICED)
    improved = True
    while improved and not tries.ended:
        improved = False
        for units in _promising(problem, best.units):
            tries.spend()
            if tries.ended:
                break
            found = prices.price(plan, batch, grid, units)
            if found.step_s < best.step_s:
                best, improved = found, True
                break
    hosts = prices.hosts(grid, best.units)
    return replace(placed, plan=replace(plan, placement=placement_on(prices.scenario, hosts)))


def _promising(problem: PlacementProblem, units: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The order after every exchange of two units of unlike classes that may make it faster by the
    program, those that it prefers first."""
    kinds = problem.node_class[list(units)]
    now_s = problem.objective_s(np.array(units))
    found = []
    for one, two in combinations(range(len(units)), 2):
        if kinds[one] != kinds[two]:
            exchanged = list(units)
            exchanged[one], exchanged[two] = exchanged[two], exchanged[one]
            found.append((problem.objective_s(np.array(exchanged)), tuple(exchanged)))
    yield from (order for seconds, order in sorted(found) if seconds <= now_s * (1 + AGREE))
