"""One search, phase by phase: enumerate, screen, bound, refine. OutOfTime and interrupts may end
every phase anywhere; what was found until then is the result.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED, OutOfTime
from planner.solver import Solver
from planner.training.search.best_first.best import BestPlans
from planner.training.search.best_first.cloud import cloud_of
from planner.training.search.best_first.combinations import Combinations
from planner.training.search.best_first.layouts import LayoutBounds, improve_layouts
from planner.training.search.best_first.listed import ListedPlans
from planner.training.search.best_first.modules import (
    choose_modules,
    least_with_modules_s,
    may_choose_modules,
)
from planner.training.search.best_first.prove import placement_gain, prove_placements
from planner.training.search.best_first.refine import Refinement
from planner.training.search.bounding.bounded_space import BoundedSpace
from planner.training.search.bounding.tables import GrowingTable
from planner.training.search.layouts.choose import choose_layout
from planner.training.search.layouts.default import default_layout
from planner.training.search.mixed.speeds import is_mixed

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
    from planner.training.search.space.enumeration import AxisGrid
    from planner.training.search.space.restrictions import Restrictions


PLACED = 128
"""Combinations for which hosts are looked for in one search."""

TRYING = 0.8
"""Share of what is left of a time limit that bounding keeps when something is priced before."""

NONE_LEFT = LayoutBounds(of_combination_s={}, others_s=inf)
"""Where everything was priced."""

SCOUTED = 12
"""Combinations of which some are refined first where nodes are not alike."""

RIVALLED = 24
"""Combinations that are refined although no plan on all devices can beat one on fewer: those that
are listed shall be good ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a search is. `phase` is bounding, refining, layouts, modules, fewer or explaining. No
    plan, of whatever part of the search, takes less than `bound_s`; None where that is not
    known."""

    phase: str
    candidates: int
    fitting: int
    refined: int
    best_step_s: float | None
    bound_s: float | None


@dataclass(slots=True, kw_only=True)
class SearchRun:
    """`space` holds what is bounded (`BoundedSpace` tells what `screening`, `known`, `hopeful` and
    `counts_all` do), `done` tells that the walk over it ended by itself. `bound_s` is the walk's
    bound before the step that is under way: one that is cut short may have lost what it was working
    on. Where placing takes long, `first_found` is called with the first plan, and before that with
    the best on the hosts as listed (True), if it does not compute for most of its step. Plans that
    take `enough_s` or longer are of no use; `priced` is the table of a search whose layers cost the
    same. `alone`: no other run may find a better plan. Without `treats_modules` no single modules
    are chosen. Without `moves_layers`, stage layouts other than the default are not looked for, and
    count in the gap. `proves`: whether hosts are chosen with the effort of a proof; else
    `prove_hosts` may do it later."""

    scenario: Scenario
    restrictions: Restrictions
    top: int
    budget: Budget = UNLIMITED
    solver: Solver = field(default_factory=Solver)
    progress: Callable[[Progress], None] | None = None
    layout: LayoutChooser = default_layout
    improve: LayoutImprover | None = choose_layout
    first_found: Callable[[RankedPlan, bool], None] | None = None
    walked: Callable[[], None] | None = None
    """Called before other stage layouts are looked for."""
    screening: bool = True
    hopeful: Callable[[AxisGrid], NDArray[np.bool_]] | None = None
    enough_s: float = np.inf
    counts_all: bool = True
    proves: bool = True
    priced: GrowingTable | None = None
    known: KnownShards | None = None
    alone: bool = True
    moves_layers: bool = True
    treats_modules: bool = True
    rival_s: float = np.inf
    """What a plan that is not on all devices takes: a search that cannot beat it ends early."""
    done: bool = False
    space: BoundedSpace = field(init=False)
    best: BestPlans = field(init=False)
    gains: dict[int, float] = field(init=False, default_factory=dict)
    bound_s: float | None = field(init=False, default=None)
    layout_bounds: LayoutBounds | None = field(init=False, default=None)
    module_bounds: LayoutBounds | None = field(init=False, default=None)
    """Of choices of modules that were not priced, with any layout; None where nothing is known."""
    _walk: Refinement | None = field(init=False, default=None)
    _placed_by: PlacementSearch | None = field(init=False, default=None)
    _listed: ListedPlans | None = field(init=False, default=None)
    _tried: int = field(init=False, default=0)
    """Combinations priced before the walk over them."""
    _with_modules_s: float | None = field(init=False, default=None)
    """What no combination undercuts with any choice of modules, where that is known."""
    _half_s: float = field(init=False)
    """Half of a time limit: then something is priced, so that there is something to show."""

    def __post_init__(self) -> None:
        self.space = BoundedSpace(
            scenario=self.scenario,
            restrictions=self.restrictions,
            growing=self.priced or GrowingTable(self.scenario.ideal, self.budget),
            budget=self.budget,
            layout=self.layout,
            improvable=self.improve is not None,
            screening=self.screening,
            hopeful=self.hopeful,
            enough_s=self.enough_s,
            counts_all=self.counts_all,
            known=self.known,
        )
        self.best = BestPlans(self.top, self.enough_s)
        self._half_s = self.budget.left_s / 2

    def bound(self) -> None:
        """Enumerate the space and bound everything in it.

        Raises: OutOfTime; RuleError when there is nothing in it.
        """
        space = self.space
        for _ in space.bound():
            self.report("bounding")
            left_s = self.budget.left_s
            if space.fitting and not self._tried and left_s < self._half_s:
                self._price_listed(self.budget.longer(-TRYING * left_s))
        self.bound_s = space.bound_s
        if self.may_fit:
            self.layout_bounds = LayoutBounds(of_combination_s={}, others_s=space.others_s)
        if not (self.treats_modules and may_choose_modules(self.scenario, self.restrictions)):
            self.module_bounds = NONE_LEFT

    def refine(self) -> None:
        """Refine, best bound first, until the best are proven or the work is done.

        Raises: OutOfTime.
        """
        if self.budget.left_s < np.inf or (self.alone and self.progress is not None):
            self._bound_modules()
        combinations = Combinations(scenario=self.scenario, groups=self.space.may_fit)
        placements = self._placed_by = self._placements()
        walk = self._walk_over(combinations, placements)
        self._walk = walk
        # Placing takes long where nodes differ: a good layout early leaves little to be placed.
        mixed = is_mixed(self.scenario.ideal)
        early = None if self.scenario.ideal is self.scenario or mixed else self.top
        if early is not None:
            self._listed = ListedPlans(combinations, self._fastest_listed)
            table, below_s = self.space.growing.table, self.best.slowest_s
            scouted = self._listed.scouted(table, self.top, self.budget, below_s=below_s)
            listed = self._fastest_listed
            if self.first_found is not None and listed is not None and not _computes_most(listed):
                self.first_found(BestPlans.of_one(listed).ranked({})[0], True)
            walk.refine_early(scouted[:SCOUTED], self.top)
            if self.first_found is not None and self.plans:
                self.first_found(self.plans[0], False)
        compared = not mixed
        while not walk.done and walk.placed < PLACED and not walk.spent:
            self.budget.check()
            self.bound_s = walk.bound_s
            if self.best.full and walk.refined >= RIVALLED and self.walk_bound_s >= self.rival_s:
                break
            walk.step()
            self.report("refining")
            if not compared and self.best.kept and self.first_found is not None:
                compared = True
                self.first_found(self.plans[0], False)
            if early is not None and walk.refined >= early:
                if self._computes_most():
                    early = None
                    self._improve_layouts(walk)
                elif self.improve is not None:
                    walk.fit_to_links()
        walk.look_around()
        self.bound_s, self.done = walk.bound_s, walk.done
        if self.may_fit:
            self.budget.check()
            if self.walked is not None:
                self.walked()
            self._improve_layouts(walk)
            if placements is not None and self.improve is not None and not mixed:
                walk.fit_to_links()
            if placements is not None and self.proves:
                prove_placements(self.scenario, self.best, placements, self.budget)
                self.bound_s = walk.bound_s
            self._choose_modules()
            if self.layout_bounds is not None:
                if placements is not None and not self._computes_most():
                    below_s = self.best.slowest_s
                    self.layout_bounds = self.layout_bounds.on_links(walk.on_any_hosts_s, below_s)
                self.layout_bounds = self.layout_bounds.settled()
        self._note_gains()

    @property
    def walk_bound_s(self) -> float:
        """Seconds that no combination takes less than that the walk has not refined."""
        bound_s = None if self._walk is None else self._walk.bound_s
        return np.inf if bound_s is None else bound_s

    def prove_hosts(self) -> None:
        """Prove the hosts of the best plan, where `refine` was to leave that. Raises: OutOfTime."""
        if self._placed_by is None or self._walk is None:
            return
        prove_placements(self.scenario, self.best, self._placed_by, self.budget)
        self.bound_s = self._walk.bound_s
        self._note_gains()

    def _note_gains(self) -> None:
        for one in self.best.kept:
            self.budget.check()
            self.gains[one.index] = placement_gain(self.scenario, one)

    def beaten(self, enough_s: float) -> None:
        """Note that other plans that take so long or longer are of no use any more."""
        self.enough_s = min(self.enough_s, enough_s)
        self.best.beaten(enough_s)

    def show_something(self, *, price: bool) -> None:
        """Where the search was ended before it kept a plan: keep the best one that was priced on
        the hosts as listed; with `price` look for one among the combinations bounded so far."""
        if self.best.kept or not self.space.fitting:
            return
        if price and self._fastest_listed is None:
            self._price_listed(self.budget)
        if self._listed is not None:
            self._listed.offer_to(self.best)

    def cloud(self) -> Cloud:
        """Every combination that fits. Raises: OutOfTime."""
        return cloud_of(self.scenario, self.space.growing.table, self.space.fitting, self.budget)

    @property
    def plans(self) -> tuple[RankedPlan, ...]:
        return self.best.ranked(self.gains)

    def layout_gap(self, slowest_s: float) -> float:
        """By how much other layouts may be faster than the plans listed, of which the slowest takes
        `slowest_s` (`LayoutBounds.gap`)."""
        known = self.layout_bounds
        return 0.0 if known is None else known.gap(self.best, slowest_s)

    @property
    def layouts_bound_s(self) -> float:
        """Seconds that no layout takes less than that was not priced; infinite where there is
        none."""
        return inf if self.layout_bounds is None else self.layout_bounds.least_s

    def modules_gap(self, slowest_s: float) -> float:
        """The same of choices of modules."""
        known = self._modules_known
        return 1.0 if known is None else known.gap(self.best, slowest_s)

    @property
    def least_s(self) -> float:
        """Seconds that no plan takes less than that was not priced; 0 where nothing is known."""
        modules = self._modules_known
        combinations_s = np.inf if self.bound_s is None else self.bound_s
        modules_s = 0.0 if modules is None else modules.least_s
        return min(combinations_s, self.layouts_bound_s, modules_s)

    @property
    def may_fit(self) -> bool:
        """Whether any combination may fit."""
        return bool(self.space.may_fit)

    @property
    def refined(self) -> int:
        """Combinations priced in full."""
        walked = 0 if self._walk is None else self._walk.refined
        return max(walked or self._tried, len(self.best.kept))

    @property
    def num_fitting(self) -> int:
        """Combinations known to fit."""
        usual = self.space.num_fitting
        return usual + sum(one.index >= usual for one in self.best.kept)

    def report(self, phase: str) -> None:
        """Tell the caller where the search is."""
        if self.progress is None:
            return
        kept = self.best.kept
        self.progress(
            Progress(
                phase=phase,
                candidates=self.space.enumeration.tally.candidates,
                fitting=self.num_fitting,
                refined=self.refined,
                best_step_s=kept[0].step_s if kept else None,
                bound_s=self._known_s,
            )
        )

    @property
    def _modules_known(self) -> LayoutBounds | None:
        nothing = self.space.complete and not self.may_fit
        return NONE_LEFT if nothing else self.module_bounds

    @property
    def _known_s(self) -> float | None:
        """No plan takes less; None where that is not known."""
        modules = self._modules_known
        modules_s = self._with_modules_s if modules is None else modules.least_s
        if not self.alone or self._walk is None or modules_s is None:
            return None
        walked_s = np.inf if self._walk.bound_s is None else self._walk.bound_s
        listed_s = min((one.bound_s for one in self.best.kept), default=np.inf)
        return min(walked_s, self.layouts_bound_s, modules_s, listed_s)

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
            self.space.growing.table,
            self.best,
            placements,
            self.budget,
            like_plain=self.space.like_plain,
        )

    def _placements(self) -> PlacementSearch | None:
        """None where all orders of the hosts are alike."""
        if self.scenario.ideal is self.scenario:
            return None
        from planner.training.search.hosts.choose import PlacementSearch

        return PlacementSearch(scenario=self.scenario, budget=self.budget, solver=self.solver)

    def _price_listed(self, budget: Budget) -> None:
        """Price a few of the combinations bounded so far on the hosts as listed."""
        combinations = Combinations(scenario=self.scenario, groups=tuple(self.space.fitting))
        self._listed = ListedPlans(combinations, self._fastest_listed)
        self._tried += self._listed.price_some(budget)

    def _computes_most(self) -> bool:
        """Whether the best plan computes for most of its step: elsewhere, layers that move gain
        little."""
        return bool(self.best.kept) and _computes_most(self.best.kept[0])

    def _improve_layouts(self, walk: Refinement) -> None:
        if self.improve is None or not self.moves_layers or is_mixed(self.scenario.ideal):
            return
        self.layout_bounds = improve_layouts(
            self.scenario,
            self.space.growing.table,
            self.space.may_fit,
            walk,
            self.best,
            self.improve,
            budget=self.budget,
            report=partial(self.report, "layouts"),
        )

    def count_modules(self) -> None:
        """Where the search was ended before it chose modules: bound plans with these in a simpler
        way, by 0 where there was no time for that."""
        if self._modules_known is not None or not self.space.complete:
            return
        with suppress(OutOfTime):
            self._bound_modules()
        least_s = self._with_modules_s or 0.0
        self.module_bounds = LayoutBounds(of_combination_s={}, others_s=least_s)

    def _bound_modules(self) -> None:
        if self.module_bounds is None and self._with_modules_s is None:
            self._with_modules_s = least_with_modules_s(
                self.scenario.ideal, self.space.growing.table, self.space.may_fit, self.budget
            )

    def _choose_modules(self) -> None:
        if self.module_bounds is not None:
            return
        table, groups = self.space.growing.table, self.space.may_fit
        self.module_bounds = choose_modules(
            self.scenario,
            table,
            groups,
            self.best,
            self.improve if self.moves_layers else None,
            budget=self.budget,
            report=partial(self.report, "modules"),
        )


def _computes_most(one: Priced) -> bool:
    time = one.estimate.time
    return time.compute_s + time.recompute_s > time.step_s / 2
