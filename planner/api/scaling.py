"""The best plan on each of several numbers of nodes: how a job scales."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.api.inputs import load_cluster
from planner.budget import Stopped
from planner.errors import PlannerError
from planner.training.search.idle.nodes import may_idle
from planner.training.search.idle.sizes import SharedSizes
from planner.training.search.result import SizedPlan
from planner.training.search.search import search

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.api.inputs import ClusterLike
    from planner.api.scenarios import AskedJob
    from planner.budget import Budget
    from planner.specs.model.spec import ModelSpec
    from planner.training.scenario import Scenario
    from planner.training.search.result import SearchResult
    from planner.training.search.space.restrictions import Restrictions


def scaled(
    asked: AskedJob,
    cluster: ClusterLike,
    model: ModelSpec,
    sizes: Sequence[int],
    restrictions: Restrictions,
    *,
    idle: bool,
    budget: Budget,
) -> Iterator[SizedPlan]:
    """A search for each number of nodes, from the fewest to the most, with the same job otherwise.
    A number above the size of the cluster, or one that leaves no combination, has a reason in place
    of a plan; numbers that a time limit does not reach are left out."""
    scenarios: dict[int, Scenario | PlannerError] = {}
    for nodes in sizes:
        try:
            asked_here = replace(asked, nodes=nodes, devices=None)
            scenarios[nodes] = asked_here.searched(load_cluster(cluster), model)
        except PlannerError as error:
            scenarios[nodes] = error
    described = [one for one in scenarios.values() if not isinstance(one, PlannerError)]
    shared = None
    if idle and described and may_idle(described[-1]):
        shared = SharedSizes(described[-1], restrictions, budget)
    for nodes, scenario in scenarios.items():
        if budget.left_s <= 0:
            return
        if isinstance(scenario, PlannerError):
            yield SizedPlan(nodes=nodes, reason=str(scenario))
            continue
        try:
            found = search(
                scenario,
                restrictions=restrictions,
                top=1,
                budget=budget,
                idle=idle,
                advise=False,
                sizes=shared,
            )
        except PlannerError as error:
            yield SizedPlan(nodes=nodes, reason=str(error))
            continue
        yield _best(nodes, found)
        if found.stopped is Stopped.INTERRUPTED:
            return


def _best(nodes: int, found: SearchResult) -> SizedPlan:
    if found.plans:
        best = found.plans[0]
        return SizedPlan(
            nodes=nodes,
            plan=best.plan,
            step_s=best.estimate.step_s,
            tokens_per_s=best.estimate.tokens_per_s,
        )
    reason = found.nearest[0].reason if found.nearest else f"no plan was found ({found.stopped})"
    return SizedPlan(nodes=nodes, reason=reason)
