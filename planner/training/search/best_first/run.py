"""One search, phase by phase: enumerate, screen, bound, refine. Every phase can be cut short, and
what was found until then is the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.registry import kind_of
from planner.training.batch import OUTER_KINDS
from planner.training.search.best_first.layouts import improve_layouts
from planner.training.search.best_first.refine import Refinement
from planner.training.search.bounding.groups import Fitting, SharedLayout, bound_group
from planner.training.search.bounding.screen import Screened, screen
from planner.training.search.bounding.tables import GrowingTable
from planner.training.search.layouts.choose import choose_layout
from planner.training.search.layouts.default import default_layout
from planner.training.search.space.empty import empty_space
from planner.training.search.space.enumeration import Enumeration, Tally, dimensions
from planner.training.search.space.facts import SCHEDULE_NAMES, SpaceFacts
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.schedule.kinds import LayoutTraits
    from planner.training.scenario import Scenario
    from planner.training.search.layouts.choose import LayoutImprover
    from planner.training.search.layouts.default import LayoutChooser
    from planner.training.search.space.enumeration import AxisGrid, Block
    from planner.training.search.space.restrictions import Restrictions
    from planner.workload.stages import StageLoad


PLACED = 128
"""Combinations for which hosts are looked for in one search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a search is. `phase` is bounding, refining or explaining."""

    phase: str
    candidates: int
    fitting: int
    refined: int
    best_step_s: float | None
    bound_s: float | None


@dataclass(slots=True, kw_only=True)
class SearchRun:
    """`complete` tells that every combination has a bound; `stopped` is what ended the run;
    without `screening` every combination is priced. `bound_s` is the refinement's bound before the
    step that is under way: one that is cut short may have lost what it was working on. Bounds
    are of the ideal scenario."""

    scenario: Scenario
    restrictions: Restrictions
    top: int
    deadline_s: float | None = None
    progress: Callable[[Progress], None] | None = None
    layout: LayoutChooser = default_layout
    improve: LayoutImprover | None = choose_layout
    screening: bool = True
    stopped: str = "proven"
    complete: bool = False
    enumeration: Enumeration = field(init=False)
    growing: GrowingTable = field(init=False)
    screened: list[Screened] = field(init=False, default_factory=list)
    fitting: list[Fitting] = field(init=False, default_factory=list)
    refinement: Refinement | None = field(init=False, default=None)
    bound_s: float | None = field(init=False, default=None)
    layouts_bound_s: float = field(init=False, default=np.inf)
    _layouts: dict[tuple[int, int, LayoutTraits], SharedLayout] = field(
        init=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        self.enumeration = Enumeration(
            facts=SpaceFacts.of(self.scenario, self.restrictions),
            values=dimensions(self.scenario, self.restrictions),
        )
        self.growing = GrowingTable(self.scenario.ideal)

    def bound(self) -> None:
        """Enumerate the space and bound everything in it, or as much as the time limit lets."""
        grids = list(self.enumeration.grids())
        loads = [
            [self._screened_load(grid.pipeline, *shape) for shape in self._shapes(grid)]
            for grid in grids
        ]
        self.screened = screen(
            self.scenario.ideal,
            self.enumeration,
            grids,
            loads,
            self.growing,
            trusting=not self.screening,
        )
        for screened, group in self.groups():
            if self.out_of_time():
                return
            self._bound(screened, group)
            self.report("bounding")
        if not self.enumeration.tally.candidates:
            raise empty_space(self.enumeration, self.scenario, self.restrictions)
        self.complete = True

    def groups(self) -> Iterator[tuple[Screened, Block]]:
        """Every group of the space with its screened grid. The first round counts them."""
        enumeration = self.enumeration
        if self.complete:
            enumeration = replace(enumeration, tally=Tally())
        for screened in self.screened:
            for group in enumeration.groups(screened.grid):
                yield screened, group

    def refine(self) -> Refinement:
        """Refine, best bound first, until the best are proven or time is up; one plan at least."""
        self.refinement = refinement = Refinement(
            self.scenario,
            self.growing.table,
            self.fitting,
            top=self.top,
            deadline_s=self.deadline_s,
        )
        others_s = (group.others_s.min(initial=np.inf) for group in self.fitting)
        self.layouts_bound_s = float(min(others_s, default=np.inf))
        # Placing takes long where nodes differ: a good layout early leaves little to be placed.
        early = None if self.scenario.ideal is self.scenario else self.top
        refinement.scout(self.out_of_time)
        while not refinement.done:
            if self.out_of_time() and refinement.refined:
                break
            if refinement.placed >= PLACED:
                self.stopped = "work limit"
                break
            self.bound_s = refinement.bound_s
            refinement.step()
            self.report("refining")
            if refinement.refined == early:
                early = None
                self._improve_layouts(refinement)
        self.bound_s = refinement.bound_s
        if refinement.refined and not self.out_of_time():
            self._improve_layouts(refinement)
        if refinement.refined and not self._out_of_time_refining():
            refinement.prove()
        return refinement

    def _improve_layouts(self, refinement: Refinement) -> None:
        if self.improve is None:
            return
        self.layouts_bound_s = improve_layouts(
            self.scenario,
            self.growing.table,
            self.fitting,
            refinement,
            self.improve,
            self._out_of_time_refining,
        )

    def layout_of(self, pipeline: int, virtual_stages: int, schedule: str) -> SharedLayout:
        """The stage layout of a shape, chosen once for all schedules that lay stages out alike."""
        key = (pipeline, virtual_stages, kind_of(schedule).layout_traits)
        if key not in self._layouts:
            stages = self.layout(self.scenario, pipeline, virtual_stages, schedule)
            load = stage_load(self.scenario.model, self.scenario.kinds, stages)
            self._layouts[key] = SharedLayout(
                stages=stages, load=load, chosen=self.improve is not None
            )
        return self._layouts[key]

    @property
    def num_fitting(self) -> int:
        return sum(len(group) for group in self.fitting)

    def alive(self, screened: Screened, group: Block) -> NDArray[np.bool_]:
        """The screen's verdict on the combinations of a group."""
        at = [
            np.searchsorted(self.enumeration.values[axis], codes)
            for axis, codes in (
                ("recompute", group.recompute),
                ("data_sharding", group.data_sharding),
            )
        ]
        verdict: NDArray[np.bool_] = screened.alive[group.grid_row, at[0], at[1]]
        return verdict

    def report(self, phase: str) -> None:
        """Tell the caller where the search is."""
        if self.progress is None:
            return
        refinement = self.refinement
        self.progress(
            Progress(
                phase=phase,
                candidates=self.enumeration.tally.candidates,
                fitting=self.num_fitting,
                refined=refinement.refined if refinement else 0,
                best_step_s=refinement.best_s if refinement else None,
                bound_s=refinement.bound_s if refinement else None,
            )
        )

    def out_of_time(self) -> bool:
        """Whether the time limit has passed, which `stopped` then tells."""
        if self.deadline_s is None or monotonic() < self.deadline_s:
            return False
        self.stopped = "time limit"
        return True

    def _out_of_time_refining(self) -> bool:
        self.report("refining")
        return self.out_of_time()

    def _bound(self, screened: Screened, group: Block) -> None:
        alive = self.alive(screened, group)
        if not alive.any():
            return
        found = bound_group(
            self.scenario.ideal,
            self.growing.table,
            screened,
            group,
            self.layout_of(group.pipeline, group.virtual_stages, group.schedule),
            alive,
        )
        if len(found):
            self.fitting.append(found)

    def _screened_load(self, pipeline: int, virtual_stages: int, schedule: str) -> StageLoad:
        """The load of a shape, without the vocabulary where stages have only a share of it."""
        load = self.layout_of(pipeline, virtual_stages, schedule).load
        if not kind_of(schedule).shares_vocabulary:
            return load
        counts = load.counts.copy()
        counts[..., -OUTER_KINDS:] = 0
        return replace(load, counts=counts)

    def _shapes(self, grid: AxisGrid) -> list[tuple[int, str]]:
        """Numbers of virtual stages and schedules that a grid's combinations may have, one
        schedule for all that lay stages out alike."""
        most = self.scenario.model.num_layers // grid.pipeline
        shapes: dict[tuple[int, LayoutTraits], tuple[int, str]] = {}
        for code in self.enumeration.values["schedule"]:
            kind = kind_of(SCHEDULE_NAMES[code])
            for v in self.enumeration.values["virtual_stages"]:
                if v <= most and kind.may_have(grid.pipeline, v):
                    shapes.setdefault((v, kind.layout_traits), (v, kind.name))
        return list(shapes.values()) or [(1, "1f1b")]
