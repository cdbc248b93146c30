"""Bandwidths are measured with noise and change: searches by the worst case, and what one slower
link costs.

No time falls when a link slows, so that among all bandwidths that may be up to a share lower the
worst case is that all of them are.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from planner.alarm import enforced
from planner.budget import UNLIMITED, OutOfTime, Stopped
from planner.specs.cluster.spec import LinkOverride
from planner.training.estimate import estimate, point_estimate
from planner.training.scenario import build_scenario, resized, with_hardware
from planner.training.search.hosts.grid import grid_of
from planner.training.search.result import CostliestLink, Robustness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.budget import Budget
    from planner.plan import Plan, RankedPlan
    from planner.specs.cluster.spec import ClusterSpec, Network
    from planner.training.scenario import Scenario
    from planner.training.search.hosts.grid import UnitGrid
    from planner.training.search.result import SearchResult

SLOWER = 2.0
"""How many times slower one link becomes in `costliest_link`."""

KEPT = 0.2
"""Share of a time limit that a search of the worst case leaves to what comes after it."""


class Search(Protocol):
    """`planner.training.search.search.search`, with its options."""

    def __call__(self, scenario: Scenario, *, budget: Budget) -> SearchResult: ...


def search_worst_case(
    scenario: Scenario,
    share: float,
    search: Search,
    budget: Budget,
) -> SearchResult:
    """The result of `search` on the worst case, its plans estimated as the cluster is described.

    The search leaves some of a time limit to these estimates. Plans for which it is not enough are
    left out, and after an interrupt so is the costliest link.
    """
    kept_s = KEPT * budget.left_s if budget.timed else 0.0
    found = search(worst_case(scenario, share), budget=budget.longer(-kept_s))
    described: list[RankedPlan] = []
    link, stopped = None, found.stopped
    try:
        with enforced(budget):
            for ranked in found.plans:
                described.append(_described(scenario, ranked))
                budget.check()
            if described and stopped is not Stopped.INTERRUPTED:
                best = described[0].plan
                link = costliest_link(resized(scenario, best.degrees.devices), best, budget)
    except OutOfTime:
        stopped = Stopped.TIME_LIMIT
    except KeyboardInterrupt:
        stopped = Stopped.INTERRUPTED
    return replace(
        found,
        plans=tuple(described),
        settled=found.settled and len(described) == len(found.plans),
        stopped=stopped,
        robustness=Robustness(share=share, link=link),
    )


def _described(scenario: Scenario, ranked: RankedPlan) -> RankedPlan:
    """A plan of the worst case, estimated on its own nodes as the cluster describes them."""
    used = resized(scenario, ranked.plan.degrees.devices)
    return replace(
        ranked, estimate=estimate(used, ranked.plan), worst_step_s=ranked.estimate.step_s
    )


def worst_case(scenario: Scenario, share: float) -> Scenario:
    """The scenario with every bandwidth between nodes lower by the share."""
    names = scenario.cluster.host_names()
    hosts = [names[node] for node in scenario.topology.order]
    slower = with_hardware(scenario, lambda cluster: with_network_bandwidth(cluster, 1 - share))
    return slower.placed(hosts)


def with_network_bandwidth(cluster: ClusterSpec, factor: float) -> ClusterSpec:
    """The cluster with every bandwidth between nodes times the factor."""

    def cards(network: Network | None) -> Network | None:
        if network is None:
            return None
        return replace(network, bandwidth_bytes_per_s=factor * network.bandwidth_bytes_per_s)

    tiers = tuple(
        tier
        if tier.bandwidth_bytes_per_s is None
        else replace(tier, bandwidth_bytes_per_s=factor * tier.bandwidth_bytes_per_s)
        for tier in cluster.tiers
    )
    matrix = None if cluster.matrix is None else cluster.matrix.scaled(factor)
    return replace(
        cluster,
        node_groups=tuple(
            replace(group, network=cards(group.network)) for group in cluster.node_groups
        ),
        tiers=tiers,
        matrix=matrix,
        overrides=tuple(
            replace(one, bandwidth_bytes_per_s=factor * one.bandwidth_bytes_per_s)
            for one in cluster.overrides
        ),
    )


def costliest_link(
    scenario: Scenario, plan: Plan, budget: Budget = UNLIMITED
) -> CostliestLink | None:
    """None where the plan's stages do not fall on whole nodes, or no link between nodes is used.

    Of the links of a boundary, and of those of a stage's ring, only the slowest is tried: there a
    slower one costs most. Raises: OutOfTime.
    """
    placed = scenario.running(plan)
    grid = grid_of(placed.topology, plan.degrees)
    if grid is None:
        return None
    found = []
    for hosts in _slowest_links(placed, plan, grid):
        budget.check()
        found.append(CostliestLink(hosts=hosts, step_s=_step_with(scenario, plan, hosts)))
    return max(found, key=lambda link: link.step_s, default=None)


def _slowest_links(placed: Scenario, plan: Plan, grid: UnitGrid) -> Iterator[tuple[str, str]]:
    """The slowest link of every boundary between rows and of every row's rings."""
    names, order = placed.cluster.host_names(), placed.topology.order
    nodes = [order[unit * grid.unit_nodes] for unit in range(grid.rows * grid.columns)]
    rows = [nodes[row * grid.columns :][: grid.columns] for row in range(grid.rows)]
    groups = [list(zip(one, two, strict=True)) for one, two in pairwise(rows)]
    rings = grid.ring(plan.degrees.data * plan.degrees.context, plan.degrees.tensor)
    for row in rows:
        hops = [
            (row[ring[at]], row[ring[at - 1]])
            for ring in (rings if grid.row_stages == 1 else ())
            for at in range(len(ring))
        ]
        groups += [hops] if hops else []
    for pairs in groups:
        one, two = min(pairs, key=lambda pair: placed.topology.hop(*pair).bytes_per_s)
        yield names[one], names[two]


def _step_with(scenario: Scenario, plan: Plan, hosts: tuple[str, str]) -> float:
    """The step when the link between two hosts alone is slower."""
    cluster = scenario.cluster
    names = cluster.host_names()
    one, two = sorted(names.index(host) for host in hosts)
    before = [other for other in cluster.overrides if sorted(other.between) != [one, two]]
    hop = scenario.topology.hop(one, two)
    slow = LinkOverride(
        between=(one, two), bandwidth_bytes_per_s=hop.bytes_per_s / SLOWER, latency_s=hop.latency_s
    )
    changed = replace(cluster, overrides=(*before, slow))
    return point_estimate(build_scenario(changed, scenario.model, scenario.job), plan).step_s
