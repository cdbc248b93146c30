"""What the step of a plan takes on hosts in some order."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, shard_of
from planner.training.memory.stage import stage_peaks
from planner.training.search.hosts.grid import nodes_in_order
from planner.training.step.ahead import with_ahead
from planner.training.step.simulated import slowest_replica
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan import Plan
    from planner.schedule.simulation.timeline import Timeline
    from planner.training.batch import Batch
    from planner.training.scenario import Scenario
    from planner.training.search.hosts.grid import UnitGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedOrder:
    """Units in the order of the grid's positions, and the plan's step and passes on them."""

    units: tuple[int, ...]
    step_s: float
    timeline: Timeline


@dataclass(frozen=True, slots=True)
class OrderPrices:
    """Prices orders of the hosts of one scenario in full."""

    scenario: Scenario

    def batch(self, plan: Plan) -> Batch:
        """The plan as a batch of one."""
        load = stage_load(self.scenario.model, self.scenario.kinds, plan.stages)
        return batch_of_one(plan, 0, load)

    def price(self, plan: Plan, batch: Batch, grid: UnitGrid, units: Sequence[int]) -> PricedOrder:
        """The plan on some hosts; its step is infinite where stages run so far ahead over slow
        links that they lack memory."""
        hosts = self.hosts(grid, units)
        scenario = self.scenario.placed(hosts)
        table = cost_table(scenario, [shard_of(plan)])
        here = with_ahead(scenario, table, batch)
        parts, timeline = slowest_replica(scenario, table, here)
        step_s = float(
            timeline.span_s + parts.gather_s[0] + parts.optimizer_s[0] + parts.jitter_s[0]
        )
        if here.ahead is not None and not stage_peaks(scenario, table, here).fits[0]:
            step_s = inf
        return PricedOrder(units=tuple(units), step_s=step_s, timeline=timeline)

    def hosts(self, grid: UnitGrid, units: Sequence[int]) -> tuple[str, ...]:
        """Names of the hosts of units, in rank order."""
        names = self.scenario.cluster.host_names()
        return tuple(names[node] for node in nodes_in_order(units, grid.unit_nodes))
