"""The stage layouts that combinations start with: one for all combinations of a shape."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from planner.budget import UNLIMITED
from planner.schedule.registry import kind_of
from planner.training.batch import OUTER_KINDS
from planner.training.search.bounding.fewest import without_layers
from planner.training.search.layouts.problem import kept_layout
from planner.training.search.mixed.speeds import is_mixed
from planner.training.search.space.codes import SCHEDULE_NAMES
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from planner.budget import Budget
    from planner.plan import Stage
    from planner.schedule.kinds import LayoutTraits
    from planner.training.scenario import Scenario
    from planner.training.search.layouts.default import LayoutChooser
    from planner.training.search.space.enumeration import AxisGrid, Enumeration
    from planner.workload.stages import StageLoad


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SharedLayout:
    """A stage layout with its load, shared by all groups of (pipeline, virtual stages). `chosen`:
    whether a combination may take a better one instead."""

    stages: tuple[Stage, ...]
    load: StageLoad
    chosen: bool


@dataclass(slots=True, kw_only=True, eq=False)
class SharedLayouts:
    """The layout of every shape, chosen once for all schedules that lay out stages in the same
    way."""

    scenario: Scenario
    choose: LayoutChooser
    improvable: bool
    """Whether combinations may take better layouts instead."""
    budget: Budget = UNLIMITED
    _known: dict[tuple[int, int, LayoutTraits], SharedLayout] = field(
        init=False, default_factory=dict
    )

    def of(self, pipeline: int, virtual_stages: int, schedule: str) -> SharedLayout:
        """The layout of a shape. Raises: OutOfTime."""
        key = (pipeline, virtual_stages, kind_of(schedule).layout_traits)
        if key not in self._known:
            self.budget.check()
            stages = self.choose(self.scenario, pipeline, virtual_stages, schedule)
            load = stage_load(self.scenario.model, self.scenario.kinds, stages)
            self._known[key] = SharedLayout(stages=stages, load=load, chosen=self.improvable)
        return self._known[key]

    def screened_loads(self, grid: AxisGrid, enumeration: Enumeration) -> list[StageLoad]:
        """The loads that a grid's combinations may have, one for all schedules that lay out stages
        in the same way. The vocabulary is left out where stages hold only a share of it."""
        most = self.scenario.model.num_layers // grid.pipeline
        shapes: dict[tuple[int, LayoutTraits], tuple[int, str]] = {}
        for code in enumeration.values["schedule"]:
            kind = kind_of(SCHEDULE_NAMES[code])
            for v in enumeration.values["virtual_stages"]:
                if v <= most and kind.may_have(grid.pipeline, v):
                    shapes.setdefault((v, kind.layout_traits), (v, kind.name))
        return [
            self._screened_load(grid.pipeline, *shape)
            for shape in list(shapes.values()) or [(1, "1f1b")]
        ]

    def _screened_load(self, pipeline: int, virtual_stages: int, schedule: str) -> StageLoad:
        load = self.of(pipeline, virtual_stages, schedule).load
        free = kept_layout(self.scenario, pipeline, virtual_stages, schedule) is None
        if free and is_mixed(self.scenario.ideal):
            load = without_layers(self.scenario, load)
        if not kind_of(schedule).shares_vocabulary:
            return load
        counts = load.counts.copy()
        counts[..., -OUTER_KINDS:] = 0
        return replace(load, counts=counts)
