"""The placement of one plan: solve the program, price its answer in full, add the critical path it
underestimated as a cut, repeat until both agree. The framework's own order is priced too, and kept
when it is best."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Protocol

import numpy as np

from planner.budget import UNLIMITED, OutOfTime, Stopped
from planner.placement.exact.solve import MOST_NODES
from planner.placement.solve import (
    BEHIND,
    improve_placement,
    solve_placement,
)
from planner.placement.truth import ROUNDING, checked_bound
from planner.solver import Solver
from planner.training.search.hosts.everywhere import PROOF_WORK, EverywhereBounds
from planner.training.search.hosts.exchange import AGREE, MOST_EXCHANGED, exchanged
from planner.training.search.hosts.grid import grid_of, unit_classes
from planner.training.search.hosts.methods import (
    ALIKE_BY_TYPE,
    CLOSE,
    OVER_ALL,
    UNALIGNED,
    PlacedPlan,
)
from planner.training.search.hosts.placement import placement_on
from planner.training.search.hosts.pricing import OrderPrices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.budget import Budget
    from planner.placement.problem.problem import PlacementProblem, PlacementSolution
    from planner.plan import Plan
    from planner.training.scenario import Scenario
    from planner.training.search.hosts.grid import UnitGrid

ROUNDS = 4
"""Most programs that are solved for one plan."""

PROOF_ROUNDS = 16
"""The same where few nodes are placed with proof."""


class Solve(Protocol):
    """`planner.placement.solve.solve_placement` or `improve_placement`."""

    def __call__(
        self,
        problem: PlacementProblem,
        *,
        seeds: Sequence[Sequence[int]],
        budget: Budget,
        known_s: float,
        enough_s: float,
    ) -> PlacementSolution: ...


@dataclass(slots=True, kw_only=True)
class PlacementSearch:
    """Chooses hosts for plans of one scenario, and remembers good orders for each grid.

    When time runs out, plans keep the best hosts so far; OutOfTime is raised where there are none.
    """

    scenario: Scenario
    budget: Budget = UNLIMITED
    solver: Solver = field(default_factory=Solver)
    everywhere: EverywhereBounds = field(init=False)

    def __post_init__(self) -> None:
        self.everywhere = EverywhereBounds(scenario=self.scenario, budget=self.budget)

    @property
    def prices(self) -> OrderPrices:
        """Prices of orders of the hosts."""
        return OrderPrices(self.scenario)

    def may_rise(self, plan: Plan, bound_s: float) -> bool:
        """Whether a proof may raise a known bound over all placements of a plan. Raises:
        OutOfTime."""
        few = len(self.scenario.topology.kinds) <= MOST_NODES
        return few or self.everywhere.bound_s(plan) >= bound_s * (1 - BEHIND)

    def place(self, plan: Plan, bound_s: float, *, enough_s: float = inf) -> PlacedPlan:
        """The plan on the best hosts that a short search finds. Every stage stays on the device
        types that it has on the plan's own hosts. `bound_s` is a known bound over all
        placements."""
        return self._place(plan, bound_s, improve_placement, enough_s=enough_s)

    def place_like_others(
        self, plan: Plan, bound_s: float, *, below_s: float, enough_s: float
    ) -> PlacedPlan:
        """The same where the plan takes less than `below_s` on an order known to be good for plans
        on its grid, or none is known; else the plan on the best of these orders. Raises:
        OutOfTime."""
        known = PlacedPlan(plan=plan, bound_s=bound_s, method=OVER_ALL)
        found = self._among_known(known)
        if found is None or found[1] < below_s:
            return self.place(plan, bound_s, enough_s=enough_s)
        return found[0]

    def reseated(self, placed: PlacedPlan) -> PlacedPlan:
        """The plan on the best of its own hosts and the orders found good for plans on its grid
        since. Raises: OutOfTime."""
        found = self._among_known(placed)
        return placed if found is None else found[0]

    def _among_known(self, placed: PlacedPlan) -> tuple[PlacedPlan, float] | None:
        """The plan on the best of its own hosts and the orders known to be good on its grid, and
        its step there; None where no others are known. Raises: OutOfTime."""
        plan = placed.plan
        listed = self.scenario.running(plan)
        grid = grid_of(listed.topology, plan.degrees)
        if grid is None or len(listed.ideal.candidate_devices) > 1:
            return None
        known = self.everywhere.orders.of(grid)
        if not known:
            return None
        batch = self.prices.batch(plan)
        best = self.prices.price(plan, batch, grid, grid.units_of(listed.topology))
        for units in known:
            self.budget.check()
            found = self.prices.price(plan, batch, grid, units)
            best = min(best, found, key=lambda priced: priced.step_s)
        hosts = self.prices.hosts(grid, best.units)
        seated = replace(
            placed,
            plan=replace(plan, placement=placement_on(self.scenario, hosts)),
            bound_s=checked_bound(placed.bound_s, best.step_s),
        )
        return seated, best.step_s

    def prove(self, placed: PlacedPlan, *, enough_s: float = inf) -> PlacedPlan:
        """The plan placed again with all the effort that a proof may take, or until no placement
        takes less than `enough_s`."""
        listed = self.scenario.running(placed.plan)
        grid = grid_of(listed.topology, placed.plan.degrees)
        if grid is None or self._alike(grid):
            return placed
        solve = partial(solve_placement, solver=self.solver)
        found = self._place(placed.plan, placed.bound_s, solve, work=PROOF_WORK, enough_s=enough_s)
        return found if found.bound_s >= enough_s else self._exchanged(found)

    def _place(
        self, plan: Plan, bound_s: float, solve: Solve, *, enough_s: float, work: float = 1.0
    ) -> PlacedPlan:
        listed = self.scenario.running(plan)
        grid = grid_of(listed.topology, plan.degrees)
        if grid is None:
            return PlacedPlan(plan=plan, bound_s=bound_s, method=UNALIGNED)
        if self._alike(grid):
            return PlacedPlan(plan=plan, bound_s=bound_s, method=ALIKE_BY_TYPE)
        batch, units = self.prices.batch(plan), grid.units_of(listed.topology)
        best = self.prices.price(plan, batch, grid, units)
        if best.step_s <= bound_s * (1 + ROUNDING):
            step_s = checked_bound(bound_s, best.step_s)
            return PlacedPlan(plan=plan, bound_s=step_s, method=CLOSE)
        method = OVER_ALL
        with suppress(OutOfTime):
            program = self.everywhere.program(listed, plan, batch, grid).with_slow_boundaries()
            known = [
                seed
                for seed in self.everywhere.orders.of(grid)
                if program.problem.allows(np.array(seed))
            ]
            seeds = [units, *known]
            few = len(program.problem.node_class) <= MOST_NODES
            for _ in range(PROOF_ROUNDS if few and work < 1 else ROUNDS):
                everywhere = self.everywhere.holds_everywhere(plan, program.problem, listed)
                solution = solve(
                    program.problem,
                    seeds=seeds,
                    budget=self.budget.scaled(work),
                    known_s=bound_s if everywhere else 0.0,
                    enough_s=enough_s,
                )
                found = self.prices.price(plan, batch, grid, solution.order)
                best = min(best, found, key=lambda priced: priced.step_s)
                if everywhere:
                    checked_bound(solution.objective_s, found.step_s)
                if everywhere and solution.bound_s > bound_s:
                    bound_s = max(bound_s, checked_bound(solution.bound_s, best.step_s))
                    method = solution.method
                if solution.stopped is Stopped.WORK_LIMIT:
                    # The same proof would be as far from its end with a path more.
                    solve = improve_placement
                agree = found.step_s <= solution.objective_s * (1 + AGREE)
                if agree or bound_s >= min(best.step_s * (1 - AGREE), enough_s):
                    break
                self.budget.check()
                seeds = [best.units, *seeds]
                program = program.with_timeline(found.timeline)
            self.everywhere.keep(plan, listed, program)
        self.everywhere.orders.remember(grid, best.units)
        return PlacedPlan(
            plan=replace(
                plan, placement=placement_on(self.scenario, self.prices.hosts(grid, best.units))
            ),
            bound_s=checked_bound(bound_s, best.step_s),
            method=method,
        )

    def _alike(self, grid: UnitGrid) -> bool:
        """Whether all nodes of a device type are alike, so that an order of them changes
        nothing."""
        topology = self.scenario.topology
        classes = unit_classes(topology, grid.unit_nodes)
        return len(classes.first_node) == len({kind.device for kind in topology.kinds})

    def _exchanged(self, placed: PlacedPlan) -> PlacedPlan:
        """With pairs of units exchanged while that makes the step shorter."""
        plan = placed.plan
        listed = self.scenario.running(plan)
        grid = grid_of(listed.topology, plan.degrees)
        if grid is None or grid.rows * grid.columns > MOST_EXCHANGED:
            return placed
        batch = self.prices.batch(plan)
        best = self.prices.price(plan, batch, grid, grid.units_of(listed.topology))
        if placed.bound_s >= best.step_s * (1 - AGREE):
            return placed
        problem = self.everywhere.program(listed, plan, batch, grid).problem
        return exchanged(placed, best, grid, problem, self.prices, self.budget)
