"""One search, phase by phase: enumerate, screen, bound, refine. OutOfTime and interrupts may end
every phase anywhere; what was found until then is the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.schedule.registry import PLAIN, kind_of
from planner.solver import Solver
from planner.training.search.best_first.best import BestPlans
from planner.training.search.best_first.cloud import cloud_of
from planner.training.search.best_first.combinations import Combinations
from planner.training.search.best_first.layouts import LayoutBounds, improve_layouts
from planner.training.search.best_first.listed import ListedPlans
from planner.training.search.best_first.modules import choose_modules, may_choose_modules
from planner.training.search.best_first.prove import placement_gain, prove_placements
from planner.training.search.best_first.refine import Refinement
from planner.training.search.bounding.groups import Fitting, bound_group
from planner.training.search.bounding.screen import Screened, screen
from planner.training.search.bounding.shared_layouts import SharedLayouts
from planner.training.search.bounding.tables import GrowingTable
from planner.training.search.layouts.choose import choose_layout
from planner.training.search.layouts.default import default_layout
from planner.training.search.mixed.speeds import is_mixed
from planner.training.search.space.codes import SCHEDULE_NAMES
from planner.training.search.space.empty import empty_space
from planner.training.search.space.enumeration import Enumeration, Tally, dimensions
from planner.training.search.space.facts import SpaceFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.plan import RankedPlan
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.best import Priced
    from planner.training.search.bounding.known_shards import KnownShards
    from planner.training.search.hosts.choose import PlacementSearch
    from planner.training.search.layouts.choose import LayoutImprover
    from planner.training.search.layouts.default import LayoutChooser
    from planner.training.search.result import Cloud
    from planner.training.search.space.enumeration import AxisGrid, Block
    from planner.training.search.space.restrictions import Restrictions


PLACED = 128
"""Combinations for which hosts are looked for in one search."""

TRYING = 0.8
"""Share of what is left of a time limit that bounding keeps when something is priced before."""

SCOUTED = 12
"""Combinations of which some are refined first where nodes are not alike."""


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
    """`complete` tells that every combination has a bound, `done` that the walk over them ended by
    itself; without `screening` every combination is priced. `bound_s` is the walk's bound before
    the step that is under way: one that is cut short may have lost what it was working on. Bounds
    are of the ideal scenario. Where placing takes long, `first_found` is called with the first
    plan. With `known` shards of a larger job, only combinations that these do not rule out are
    bounded. `hopeful` tells the rows of a grid that are to be looked at, and plans that take
    `enough_s` or longer are of no use, nor counted where `counts_all` is off; `priced` is the table
    of a search whose layers cost the same."""

    scenario: Scenario
    restrictions: Restrictions
    top: int
    budget: Budget = UNLIMITED
    solver: Solver = field(default_factory=Solver)
    progress: Callable[[Progress], None] | None = None
    layout: LayoutChooser = default_layout
    improve: LayoutImprover | None = choose_layout
    first_found: Callable[[RankedPlan], None] | None = None
    screening: bool = True
    hopeful: Callable[[AxisGrid], NDArray[np.bool_]] | None = None
    enough_s: float = np.inf
    counts_all: bool = True
    priced: GrowingTable | None = None
    known: KnownShards | None = None
    complete: bool = False
    done: bool = False
    enumeration: Enumeration = field(init=False)
    layouts: SharedLayouts = field(init=False)
    growing: GrowingTable = field(init=False)
    screened: list[Screened] = field(init=False, default_factory=list)
    fitting: list[Fitting] = field(init=False, default_factory=list)
    elsewhere: list[Fitting] = field(init=False, default_factory=list)
    """Combinations that may fit, but not with the layout that they start with."""
    best: BestPlans = field(init=False)
    gains: dict[int, float] = field(init=False, default_factory=dict)
    bound_s: float | None = field(init=False, default=None)
    layout_bounds: LayoutBounds | None = field(init=False, default=None)
    _walk: Refinement | None = field(init=False, default=None)
    _listed: ListedPlans | None = field(init=False, default=None)
    _tried: int = field(init=False, default=0)
    """Combinations priced before the walk over them."""
    _half_s: float = field(init=False)
    """Half of a time limit: then something is priced, so that there is something to show."""

    def __post_init__(self) -> None:
        self.enumeration = Enumeration(
            facts=SpaceFacts.of(self.scenario, self.restrictions),
            values=dimensions(self.scenario, self.restrictions),
        )
        self.layouts = SharedLayouts(
            scenario=self.scenario,
            choose=self.layout,
            improvable=self.improve is not None,
            budget=self.budget,
        )
        self.growing = self.priced or GrowingTable(self.scenario.ideal, self.budget)
        self.best = BestPlans(self.top, self.enough_s)
        self._half_s = self.budget.left_s / 2

    def bound(self) -> None:
        """Enumerate the space and bound everything in it.

        Raises: OutOfTime; RuleError when there is nothing in it.
        """
        grids = []
        for grid in self.enumeration.grids():
            self.budget.check()
            grids.append(grid if self.hopeful is None else grid.only(self.hopeful(grid)))
        grids = [grid for grid in grids if len(grid)]
        self.screened = screen(
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
        for screened, group in self.groups():
            self.budget.check()
            self._bound(screened, group)
            self.report("bounding")
            left_s = self.budget.left_s
            if self.fitting and not self._tried and left_s < self._half_s:
                self._price_listed(self.budget.longer(-TRYING * left_s))
        if not self.enumeration.tally.candidates and self.hopeful is None:
            raise empty_space(self.enumeration, self.scenario, self.restrictions)
        if self.fitting:
            self.bound_s = float(min(group.bound_s.min() for group in self.fitting))
        if self.may_fit:
            others_s = float(min(group.others_s.min() for group in self._groups))
            self.layout_bounds = LayoutBounds(of_combination_s={}, others_s=others_s)
        self.complete = True

    @property
    def like_plain(self) -> frozenset[str]:
        """Schedules of the space that are another one of it where no stage runs ahead."""
        names = [SCHEDULE_NAMES[code] for code in self.enumeration.values["schedule"]]
        return frozenset(name for name in names if kind_of(name).runs_ahead and PLAIN in names)

    def groups(self) -> Iterator[tuple[Screened, Block]]:
        """Every group of the space with its screened grid. The first round counts them."""
        enumeration = self.enumeration
        if self.complete:
            enumeration = replace(enumeration, tally=Tally())
        for screened in self.screened:
            for group in enumeration.groups(screened.grid):
                yield screened, group

    def refine(self) -> None:
        """Refine, best bound first, until the best are proven or the work is done.

        Raises: OutOfTime.
        """
        combinations = Combinations(scenario=self.scenario, groups=self._groups)
        placements = self._placements()
        walk = self._walk_over(combinations, placements)
        self._walk = walk
        # Placing takes long where nodes differ: a good layout early leaves little to be placed.
        mixed = is_mixed(self.scenario.ideal)
        early = None if self.scenario.ideal is self.scenario or mixed else self.top
        if early is not None:
            self._listed = ListedPlans(combinations, self._fastest_listed)
            scouted = self._listed.scouted(self.growing.table, self.top, self.budget)
            walk.refine_early(scouted[:SCOUTED], self.top)
            if self.first_found is not None and self.plans:
                self.first_found(self.plans[0])
        while not walk.done and walk.placed < PLACED and not walk.spent:
            self.budget.check()
            self.bound_s = walk.bound_s
            walk.step()
            self.report("refining")
            if walk.refined == early:
                early = None
                self._improve_layouts(walk)
        self.bound_s, self.done = walk.bound_s, walk.done
        if self.may_fit:
            self.budget.check()
            self._improve_layouts(walk)
            if placements is not None:
                prove_placements(self.scenario, self.best, placements, self.budget)
            self._choose_modules()
        for one in self.best.kept:
            self.budget.check()
            self.gains[one.index] = placement_gain(self.scenario, one)

    def show_something(self, *, price: bool) -> None:
        """Where the search was ended before it kept a plan: keep the best one that was priced on
        the hosts as listed; with `price` look for one among the combinations bounded so far."""
        if self.best.kept or not self.fitting:
            return
        if price and self._fastest_listed is None:
            self._price_listed(self.budget)
        if self._listed is not None:
            self._listed.offer_to(self.best)

    def cloud(self) -> Cloud:
        """Every combination that fits. Raises: OutOfTime."""
        return cloud_of(self.scenario, self.growing.table, self.fitting, self.budget)

    @property
    def plans(self) -> tuple[RankedPlan, ...]:
        return self.best.ranked(self.gains)

    def layout_gap(self, slowest_s: float) -> float:
        """By how much other layouts may be faster than the plans listed, of which the slowest takes
        `slowest_s` (`LayoutBounds.gap`)."""
        known = self.layout_bounds
        return 0.0 if known is None else known.gap(self.best, slowest_s)

    @property
    def may_fit(self) -> bool:
        """Whether any combination may fit."""
        return bool(self._groups)

    @property
    def refined(self) -> int:
        """Combinations priced in full."""
        walked = 0 if self._walk is None else self._walk.refined
        return max(walked or self._tried, len(self.best.kept))

    @property
    def num_fitting(self) -> int:
        """Combinations known to fit."""
        usual = sum(len(group) for group in self.fitting)
        return usual + sum(one.index >= usual for one in self.best.kept)

    @property
    def num_combinations(self) -> int:
        """Combinations that may fit."""
        return sum(len(group) for group in self._groups)

    @property
    def _groups(self) -> list[Fitting]:
        return [*self.fitting, *self.elsewhere]

    def report(self, phase: str) -> None:
        """Tell the caller where the search is."""
        if self.progress is None:
            return
        kept = self.best.kept
        self.progress(
            Progress(
                phase=phase,
                candidates=self.enumeration.tally.candidates,
                fitting=self.num_fitting,
                refined=self.refined,
                best_step_s=kept[0].step_s if kept else None,
                bound_s=None if self._walk is None else self._walk.bound_s,
            )
        )

    @property
    def _fastest_listed(self) -> Priced | None:
        return None if self._listed is None else self._listed.fastest

    def _walk_over(
        self, combinations: Combinations, placements: PlacementSearch | None
    ) -> Refinement:
        kind: type[Refinement] = Refinement
        if is_mixed(self.scenario.ideal):
            from planner.training.search.best_first.mixed import MixedRefinement

            kind = MixedRefinement
        return kind(
            combinations,
            self.growing.table,
            self.best,
            placements,
            self.budget,
            like_plain=self.like_plain,
        )

    def _placements(self) -> PlacementSearch | None:
        """None where all orders of the hosts are alike."""
        if self.scenario.ideal is self.scenario:
            return None
        from planner.training.search.hosts.choose import PlacementSearch

        return PlacementSearch(scenario=self.scenario, budget=self.budget, solver=self.solver)

    def _price_listed(self, budget: Budget) -> None:
        """Price a few of the combinations bounded so far on the hosts as listed."""
        combinations = Combinations(scenario=self.scenario, groups=tuple(self.fitting))
        self._listed = ListedPlans(combinations, self._fastest_listed)
        self._tried += self._listed.price_some(budget)

    def _improve_layouts(self, walk: Refinement) -> None:
        if self.improve is None or is_mixed(self.scenario.ideal):
            return
        self.layout_bounds = improve_layouts(
            self.scenario,
            self.growing.table,
            self._groups,
            walk,
            self.best,
            self.improve,
            budget=self.budget,
            report=partial(self.report, "refining"),
        )

    def _choose_modules(self) -> None:
        if not may_choose_modules(self.scenario, self.restrictions):
            return
        rest_s = choose_modules(
            self.scenario, self.growing.table, self._groups, self.best, budget=self.budget
        )
        if rest_s < np.inf:
            self.bound_s = min(rest_s, np.inf if self.bound_s is None else self.bound_s)

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
