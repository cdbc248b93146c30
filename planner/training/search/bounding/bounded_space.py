"""Everything in the space of a search, bounded: its grids are screened, then its combinations get
bounds, group by group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.schedule.registry import PLAIN, kind_of
from planner.training.search.bounding.fitting import Fitting
from planner.training.search.bounding.groups import bound_group
from planner.training.search.bounding.screen import Screened, screen
from planner.training.search.bounding.shared_layouts import SharedLayouts
from planner.training.search.bounding.tables import GrowingTable
from planner.training.search.layouts.default import default_layout
from planner.training.search.space.codes import SCHEDULE_NAMES
from planner.training.search.space.empty import empty_space
from planner.training.search.space.enumeration import Enumeration, Tally, dimensions
from planner.training.search.space.facts import SpaceFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.known_shards import KnownShards
    from planner.training.search.layouts.default import LayoutChooser
    from planner.training.search.space.enumeration import AxisGrid, Block
    from planner.training.search.space.restrictions import Restrictions


@dataclass(slots=True, kw_only=True)
class BoundedSpace:
    """`complete` tells that every combination has a bound; without `screening` no grid is screened.
    Bounds are of the ideal scenario. `improvable`: whether stage layouts other than the default may
    be chosen. With `known` shards of a larger job, only combinations that these do not rule out are
    bounded. `hopeful` tells the rows of a grid that are to be looked at, and combinations that take
    `enough_s` or longer are not counted where `counts_all` is off; `growing` is the table of costs,
    which searches may share whose layers cost the same."""

    scenario: Scenario
    restrictions: Restrictions
    growing: GrowingTable
    budget: Budget = UNLIMITED
    layout: LayoutChooser = default_layout
    improvable: bool = True
    screening: bool = True
    hopeful: Callable[[AxisGrid], NDArray[np.bool_]] | None = None
    enough_s: float = np.inf
    counts_all: bool = True
    known: KnownShards | None = None
    complete: bool = False
    enumeration: Enumeration = field(init=False)
    layouts: SharedLayouts = field(init=False)
    screened: list[Screened] = field(init=False, default_factory=list)
    fitting: list[Fitting] = field(init=False, default_factory=list)
    elsewhere: list[Fitting] = field(init=False, default_factory=list)
    """Combinations that may fit, but not with the layout that they start with."""

    def __post_init__(self) -> None:
        self.enumeration = Enumeration(
            facts=SpaceFacts.of(self.scenario, self.restrictions),
            values=dimensions(self.scenario, self.restrictions),
        )
        self.layouts = SharedLayouts(
            scenario=self.scenario,
            choose=self.layout,
            improvable=self.improvable,
            budget=self.budget,
        )

    def bound(self) -> Iterator[None]:
        """Enumerate the space and bound everything in it, one group at every step.

        Raises: OutOfTime; RuleError when there is nothing in it.
        """
        self.screened = self._screened()
        for screened, group in self.groups():
            self.budget.check()
            self._bound(screened, group)
            yield
        if not self.enumeration.tally.candidates and self.hopeful is None:
            raise empty_space(self.enumeration, self.scenario, self.restrictions)
        self.complete = True

    @property
    def like_plain(self) -> frozenset[str]:
        """Schedules of the space that are another one of it where no stage runs ahead."""
        names = [SCHEDULE_NAMES[code] for code in self.enumeration.values["schedule"]]
        return frozenset(name for name in names if kind_of(name).runs_ahead and PLAIN in names)

    @property
    def may_fit(self) -> list[Fitting]:
        """All groups of combinations that may fit: first those known to, which count from 0."""
        return [*self.fitting, *self.elsewhere]

    @property
    def bound_s(self) -> float | None:
        """The least bound under the layouts that combinations start with; None where none fits."""
        return min((float(group.bound_s.min()) for group in self.fitting), default=None)

    @property
    def others_s(self) -> float:
        """The least bound under any other layout; infinite where there is none."""
        return min((float(group.others_s.min()) for group in self.may_fit), default=np.inf)

    @property
    def num_fitting(self) -> int:
        """Combinations that fit with the layout that they start with."""
        return sum(len(group) for group in self.fitting)

    def groups(self) -> Iterator[tuple[Screened, Block]]:
        """Every group of the space with its screened grid. The first round counts them."""
        enumeration = self.enumeration
        if self.complete:
            enumeration = replace(enumeration, tally=Tally())
        for screened in self.screened:
            for group in enumeration.groups(screened.grid):
                yield screened, group

    def _screened(self) -> list[Screened]:
        grids = []
        for grid in self.enumeration.grids():
            self.budget.check()
            grids.append(grid if self.hopeful is None else grid.only(self.hopeful(grid)))
        grids = [grid for grid in grids if len(grid)]
        return screen(
            self.scenario.ideal,
            self.enumeration,
            grids,
            [self.layouts.screened_loads(grid, self.enumeration) for grid in grids],
            self.growing,
            trusting=not self.screening,
            links_differ=self.scenario.ideal is not self.scenario,
            known=self.known,
            budget=self.budget,
        )

    def _bound(self, screened: Screened, group: Block) -> None:
        alive = screened.alive_in(group, self.enumeration)
        if not alive.any():
            return
        found, elsewhere = bound_group(
            self.scenario.ideal,
            self.growing.table,
            screened,
            group,
            self.layouts.of(group.pipeline, group.virtual_stages, group.schedule),
            alive,
            self.budget,
            like_plain=group.schedule in self.like_plain,
            below_s=np.inf if self.counts_all else self.enough_s,
        )
        if len(found):
            self.fitting.append(found)
        if len(elsewhere):
            self.elsewhere.append(elsewhere)
