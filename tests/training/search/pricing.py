"""Prices of many plans of one scenario, for tests that try everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.training.costs import cost_table
from planner.training.estimate import point_estimate, shard_of

if TYPE_CHECKING:
    from planner.plan import Estimate, Plan
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.workload.shard import Shard


class Pricing:
    """Point estimates that share what plans have in common: the job on an order of its hosts, and
    there the costs of a shard."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._placed: dict[tuple[str, ...], Scenario] = {}
        self._tables: dict[tuple[tuple[str, ...], Shard], CostTable] = {}

    def __call__(self, plan: Plan) -> Estimate:
        """Of a plan that leaves modules as the job treats them."""
        hosts, shard = plan.placement.hosts, shard_of(plan)
        if hosts not in self._placed:
            self._placed[hosts] = self._scenario.placed(hosts)
        placed = self._placed[hosts]
        if (hosts, shard) not in self._tables:
            self._tables[hosts, shard] = cost_table(placed, [shard])
        return point_estimate(placed, plan, table=self._tables[hosts, shard])
