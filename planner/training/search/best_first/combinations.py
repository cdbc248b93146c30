"""All combinations that fit, numbered through their groups in the order of enumeration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.plans.build import plan_of
from planner.training.search.space.codes import value_of
from planner.training.search.space.enumeration import GRID_AXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.plan import Plan
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.fitting import Fitting


@dataclass(frozen=True, kw_only=True, eq=False)
class Combinations:
    """The number of a combination is its index."""

    scenario: Scenario
    groups: Sequence[Fitting]

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """[groups + 1]: the index of the first combination of every group, and how many there
        are."""
        return np.cumsum([0, *map(len, self.groups)])

    @cached_property
    def quick_s(self) -> NDArray[np.float64]:
        """Quick bounds by index."""
        return np.concatenate([np.zeros(0), *(group.bound_s for group in self.groups)])

    def owners(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """The groups of combinations."""
        return np.searchsorted(self.first, indices, side="right") - 1

    def place(self, index: int) -> tuple[Fitting, int]:
        """The group of a combination, and its position in it."""
        owner = int(self.owners(np.array([index]))[0])
        return self.groups[owner], index - int(self.first[owner])

    def plan(self, index: int, recomputed_layers: int) -> Plan:
        """With the layout of the group, on the hosts in the order of the cluster file."""
        return plan_at(self.scenario, *self.place(index), recomputed_layers)


def plan_at(scenario: Scenario, group: Fitting, index: int, recomputed_layers: int) -> Plan:
    """The plan of one combination of a group, on the hosts in the order of the cluster file."""
    row = int(group.grid_row[index])
    columns = group.screened.columns
    values = {axis: value_of(axis, int(columns[axis][row])) for axis in GRID_AXES}
    values |= {
        "pipeline": group.screened.pipeline,
        "virtual_stages": group.virtual_stages,
        "schedule": group.schedule,
        **{axis: value_of(axis, int(codes[index])) for axis, codes in group.variants.items()},
    }
    return plan_of(scenario, values, group.layout.stages, recomputed_layers)
