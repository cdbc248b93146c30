"""How far the hosts of the best plans may be from the best hosts, and what they gain."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from planner.training.estimate import estimate, point_estimate
from planner.training.search.best_first.best import Priced
from planner.training.search.hosts.methods import PlacedPlan
from planner.training.search.hosts.placement import placement_on, used_hosts

if TYPE_CHECKING:
    from planner.budget import Budget
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.best import BestPlans
    from planner.training.search.hosts.choose import PlacementSearch

RESEATED = 16
"""Plans that were left out that are tried on orders found good for others."""

RULED_OUT = 2
"""Plans that were left out for which a proof is tried."""


def prove_placements(
    scenario: Scenario, best: BestPlans, placements: PlacementSearch, budget: Budget
) -> None:
    """Try the orders found good for one plan on the others. Give the placement of the best plan all
    the effort that a proof may take, and that of the plan that takes its place, until the best was
    given it; then rule out the most promising of those left out. Raises: OutOfTime."""
    _reseat(scenario, best, placements, budget)
    proven: set[int] = set()
    while best.kept and best.kept[0].index not in proven:
        budget.check()
        first = best.kept[0]
        proven.add(first.index)
        if first.bound_s < first.step_s:
            best.replace_first(_proven(scenario, first, placements, inf))
    for _ in range(RULED_OUT):
        budget.check()
        promising = best.left_out[:1]
        if not promising or promising[0].bound_s >= best.slowest_s:
            return
        first = promising[0]
        if not placements.may_rise(first.plan, first.bound_s):
            return
        found = _proven(scenario, first, placements, best.slowest_s)
        best.reconsider(first, found)


def _reseat(
    scenario: Scenario, best: BestPlans, placements: PlacementSearch, budget: Budget
) -> None:
    """Raises: OutOfTime."""
    for one in best.kept:
        budget.check()
        if one.bound_s < one.step_s:
            best.offer(_reseated(scenario, one, placements))
    for one in best.left_out[:RESEATED]:
        budget.check()
        if one.bound_s < best.slowest_s:
            best.reconsider(one, _reseated(scenario, one, placements))


def _reseated(scenario: Scenario, one: Priced, placements: PlacementSearch) -> Priced:
    known = PlacedPlan(plan=one.plan, bound_s=one.bound_s, method=one.method)
    placed = placements.reseated(known)
    if placed.plan == one.plan:
        return one
    return Priced.of(one.index, placed, estimate(scenario, placed.plan))


def _proven(
    scenario: Scenario, one: Priced, placements: PlacementSearch, enough_s: float
) -> Priced:
    placed = placements.prove(
        PlacedPlan(plan=one.plan, bound_s=one.bound_s, method=one.method), enough_s=enough_s
    )
    return Priced.of(one.index, placed, estimate(scenario, placed.plan))


def placement_gain(scenario: Scenario, one: Priced) -> float:
    """How much longer the step takes on the hosts in the order of the cluster file."""
    hosts = used_hosts(scenario)
    if one.plan.placement.hosts == hosts:
        return 0.0
    listed = replace(one.plan, placement=placement_on(scenario, hosts))
    return max(0.0, point_estimate(scenario, listed).step_s / one.step_s - 1)
