"""The best plan on each of several numbers of nodes: how a job scales."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.api.inputs import load_cluster
from planner.errors import PlannerError
from planner.training.search.result import SizedPlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.api.inputs import ClusterLike
    from planner.api.scenarios import AskedJob
    from planner.budget import Budget
    from planner.specs.model.spec import ModelSpec
    from planner.training.search.result import SearchResult
    from planner.training.search.robust import Search


def scaled(
    search: Search,
    asked: AskedJob,
    cluster: ClusterLike,
    model: ModelSpec,
    sizes: Sequence[int],
    budget: Budget,
) -> Iterator[SizedPlan]:
    """A search for each number of nodes, with the same job otherwise. A number above the size of
    the cluster, or one that leaves no combination, has a reason in place of a plan; numbers that a
    time limit does not reach are left out."""
    for nodes in sizes:
        if budget.left_s <= 0:
            return
        try:
            scenario = replace(asked, nodes=nodes, devices=None).scenario(
                load_cluster(cluster), model
            )
            found = search(scenario, budget=budget)
        except PlannerError as error:
            yield SizedPlan(nodes=nodes, reason=str(error))
            continue
        yield _best(nodes, found)


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
