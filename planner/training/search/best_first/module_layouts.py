"""Combinations with chosen modules, as the search for stage layouts takes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import SELECTIVE
from planner.training.estimate import batch_of_one
from planner.training.search.best_first.combinations import plan_at
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from planner.plan import Plan
    from planner.training.batch import Batch
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.best import BestPlans
    from planner.training.search.layouts.choose import DefaultStep
    from planner.training.search.modules.treated import TreatedSpace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TreatedWalk:
    """The combinations of a space with chosen modules (`LayoutWalk`), of which `offer` takes a plan
    by its index there."""

    scenario: Scenario
    space: TreatedSpace
    offer: Callable[[int, Plan], None]

    def recomputed_layers(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """None are recomputed as a whole."""
        return np.zeros(len(indices), dtype=np.int64)

    def plan(self, index: int, recomputed_layers: int = 0) -> Plan:
        """With the default layout, on the hosts in the order of the cluster file."""
        one = self.space.chosen[index]
        return one.treatment.of(plan_at(self.scenario, one.group, one.row, recomputed_layers))

    def batch(self, index: int, plan: Plan) -> Batch:
        """With the prices of its choice."""
        one, treated = self.space.chosen[index], self.space.scenario
        batch = batch_of_one(plan, one.price, stage_load(treated.model, treated.kinds, plan.stages))
        return replace(batch, granularity=np.full(1, SELECTIVE))

    def default_step(self, index: int) -> DefaultStep | None:
        """Nothing is known."""
        return None

    def replace(self, index: int, plan: Plan) -> None:
        """Offer a plan."""
        self.offer(index, plan)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TreatedPlans:
    """What plans of such a space have to take less than (`KnownPlans`)."""

    space: TreatedSpace
    best: BestPlans

    @property
    def slowest_s(self) -> float:
        return self.best.slowest_s

    @property
    def first_s(self) -> float:
        return self.best.first_s

    def wanted_s(self, index: int) -> float:
        """As of the combination, whatever its modules."""
        return self.best.wanted_s(self.space.chosen[index].combination)
