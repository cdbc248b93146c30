"""Whether a job is faster on fewer nodes of its cluster: where links are slow, what more nodes
compute may be less than what their messages cost.

Layers alone take twice as long on half as many nodes. Only where that leaves room is a smaller job
bounded, with no other shards than those that the search priced and that leave room, and only a few
of its combinations are priced, on the first hosts of the best plan. So a faster job found is
certain; that there is none is not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import PlannerError
from planner.training.estimate import point_estimate
from planner.training.scenario import resized
from planner.training.search.best_first.combinations import Combinations
from planner.training.search.best_first.queue import BoundQueue
from planner.training.search.best_first.run import SearchRun
from planner.training.search.bounding.known_shards import KnownShards
from planner.training.search.hosts.placement import placement_on, used_hosts
from planner.training.search.result import SizedPlan

if TYPE_CHECKING:
    from planner.plan import RankedPlan
    from planner.training.scenario import Scenario

PRICED = 16
"""Combinations of one size that are priced."""


def faster_on_fewer(run: SearchRun, best: RankedPlan) -> SizedPlan | None:
    """The fastest plan found on fewer nodes than those of a search, where it is faster than its
    best one. Raises: OutOfTime."""
    scenario = run.scenario
    if len(scenario.ideal.candidate_devices) > 1:
        return None
    known = KnownShards.of(scenario.ideal, run.space.growing, best.estimate.step_s)
    found: SizedPlan | None = None
    for nodes in _sizes(scenario):
        run.budget.check()
        try:
            smaller = _on(scenario, best, nodes)
            sized = _fastest(smaller, run, nodes, known)
        except PlannerError:
            continue
        if sized is not None and sized.step_s is not None:
            found, known = sized, replace(known, below_s=sized.step_s)
    return found


def _sizes(scenario: Scenario) -> list[int]:
    """Numbers of nodes, the fewest first: halves of all, powers of two, and the blocks of nodes
    that share a switch or a site."""
    given = scenario.topology.nodes
    halves = {given >> times for times in range(1, given.bit_length())}
    powers = {1 << times for times in range(given.bit_length())}
    blocks = {tier.nodes for tier in scenario.topology.fabric.tiers if tier.nodes is not None}
    return sorted(nodes for nodes in halves | powers | blocks if nodes < given)


def _on(scenario: Scenario, best: RankedPlan, nodes: int) -> Scenario:
    """The job on the first hosts of a plan, of those that a job of its size finds: segments of
    scale-up domains may leave some over. Raises: InputError."""
    hosts = best.plan.placement.hosts or used_hosts(scenario)
    smaller = resized(scenario, scenario.placed(hosts[:nodes]).topology.devices)
    found = set(smaller.cluster.host_names())
    kept = [host for host in hosts if host in found][:nodes]
    return smaller.placed(kept) if len(kept) == nodes else smaller


def _fastest(
    scenario: Scenario, larger: SearchRun, nodes: int, known: KnownShards
) -> SizedPlan | None:
    """The fastest combination that fits and takes less than is known already, of those priced."""
    below_s, budget = known.below_s, larger.budget
    if known.least_s(scenario) >= below_s:
        return None
    run = SearchRun(
        scenario=scenario,
        restrictions=larger.restrictions,
        top=1,
        budget=budget,
        improve=None,
        known=known,
    )
    run.bound()
    if not run.space.fitting or (run.bound_s or 0.0) >= below_s:
        return None
    combinations = Combinations(scenario=scenario, groups=tuple(run.space.fitting))
    queue = BoundQueue(combinations, run.space.growing.table, budget)
    found, left = None, budget.meter(PRICED)
    while queue.least_s < below_s and np.isfinite(queue.least_s) and not left.ended:
        budget.check()
        opened = queue.pop()
        if opened is None:
            continue
        left.spend()
        plan = combinations.plan(opened.index, opened.recomputed_layers)
        plan = replace(plan, placement=placement_on(scenario, used_hosts(scenario)))
        cost = point_estimate(scenario, plan)
        if cost.memory.fits and cost.step_s < below_s:
            below_s = cost.step_s
            found = SizedPlan(
                nodes=nodes, plan=plan, step_s=cost.step_s, tokens_per_s=cost.tokens_per_s
            )
    return found
