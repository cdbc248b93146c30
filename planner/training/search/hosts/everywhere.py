"""Bounds on one plan over all placements, by its placement program.

Programs, bounds on a grid, and orders found good there are remembered for plans that come later.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

from planner.placement.bounds.simpler import bounds_of
from planner.placement.bounds.transfer import SolvedProblem, transferred_s
from planner.placement.exact.solve import MOST_NODES
from planner.placement.solve import exact_solution, quick_bound_s
from planner.plan import Recompute
from planner.schedule.registry import kind_of
from planner.training.search.hosts.grid import grid_of
from planner.training.search.hosts.pricing import OrderPrices
from planner.training.search.hosts.problem import placement_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.budget import Budget
    from planner.placement.problem.problem import PlacementProblem
    from planner.plan import Plan
    from planner.training.batch import Batch
    from planner.training.scenario import Scenario
    from planner.training.search.hosts.grid import UnitGrid
    from planner.training.search.hosts.problem import PlacedProgram
    from planner.workload.stages import StageLoad

PROOF_WORK = 0.1
"""Share of the effort of `solve_placement` that the proof of one plan gets."""


@dataclass(slots=True)
class GoodOrders:
    """Orders of the units that were good on a grid, the latest first."""

    _known: dict[UnitGrid, list[tuple[int, ...]]] = field(default_factory=dict)

    def of(self, grid: UnitGrid) -> Sequence[tuple[int, ...]]:
        return self._known.get(grid, ())

    def remember(self, grid: UnitGrid, units: tuple[int, ...]) -> None:
        known = self._known.setdefault(grid, [])
        if units not in known:
            known.insert(0, units)
            del known[_REMEMBERED:]


@dataclass(slots=True, kw_only=True)
class EverywhereBounds:
    """Bounds of plans of one scenario."""

    scenario: Scenario
    budget: Budget
    orders: GoodOrders = field(default_factory=GoodOrders)
    _programs: dict[Plan, PlacedProgram] = field(default_factory=dict)
    _solved: dict[UnitGrid, list[SolvedProblem]] = field(default_factory=dict)
    _plain_s: dict[Plan, float] = field(default_factory=dict)
    _searched_s: dict[Plan, float] = field(default_factory=dict)
    _any_layout_s: dict[Plan, float] = field(default_factory=dict)
    _searched: int = 0

    def bound_s(self, plan: Plan, enough_s: float = inf) -> float:
        """An almost free bound over all placements of a plan by its program; 0 where it bounds
        nothing. It need not be higher than `enough_s`. Raises: OutOfTime."""
        plain = self._without_recompute(plan)
        if plain is None:
            return self._bound_s(plan)
        if plain not in self._plain_s:
            self._plain_s[plain] = self._bound_s(plain) - self._jitter_s(plain)
        known_s = self._plain_s[plain]
        return known_s if known_s >= enough_s else max(known_s, self._bound_s(plan))

    def _without_recompute(self, plan: Plan) -> Plan | None:
        """A plan that only computes less, whose bound less its jitter holds for this one, too; None
        where there is none. What runs later in the last backward of a stage with one chunk covers
        no more of its reduction than the pass is longer."""
        if plan.recompute.granularity == "none":
            return None
        if plan.virtual_stages > 1 and "gradient_reduce" in self.scenario.job.software.overlap:
            return None
        nothing = Recompute(granularity="none", layers_per_stage=(0,) * len(plan.stages))
        return self._anywhere(replace(plan, recompute=nothing))

    def _jitter_s(self, plan: Plan) -> float:
        """What bounds of a plan hold of its jitter, which falls where a busy stage computes
        more."""
        known = self._programs.get(self._anywhere(plan))
        return 0.0 if known is None else float(known.paths.parts.jitter_s[0])

    def _bound_s(self, plan: Plan) -> float:
        listed = self.scenario.running(plan)
        grid = grid_of(listed.topology, plan.degrees)
        if grid is None:
            return 0.0
        program = self.program(listed, plan, OrderPrices(self.scenario).batch(plan), grid)
        if not self.holds_everywhere(plan, program.problem, listed):
            return 0.0
        quick_s = quick_bound_s(program.problem, self.budget)
        here = bounds_of(program.problem)
        carried = [
            transferred_s(known, one) for known in self._solved.get(grid, ()) for one in here
        ]
        return max([quick_s, *carried])

    def solved_bound_s(self, plan: Plan) -> float:
        """A bound over all placements of a plan that takes a search among few nodes, and is carried
        over to plans on the same grid from then on; plans that only compute more share it. 0 where
        the nodes are many, or too many were searched. Raises: OutOfTime."""
        listed = self.scenario.running(plan)
        grid = grid_of(listed.topology, plan.degrees)
        if grid is None or len(listed.topology.kinds) // grid.unit_nodes > MOST_NODES:
            return 0.0
        plain = self._without_recompute(plan)
        if plain in self._searched_s:
            return self._searched_s[plain]
        program = self.program(listed, plan, OrderPrices(self.scenario).batch(plan), grid)
        if self._searched >= _SEARCHED or not self.holds_everywhere(plan, program.problem, listed):
            return 0.0
        self._searched += 1
        several = bounds_of(program.with_slow_boundaries().problem)
        problem = max(several, key=lambda one: quick_bound_s(one, self.budget))
        found = exact_solution(
            problem,
            seeds=[grid.units_of(listed.topology), *self.orders.of(grid)],
            budget=self.budget.scaled(PROOF_WORK),
        )
        self.orders.remember(grid, found.order)
        bounded = SolvedProblem(problem=problem, bound_s=found.bound_s)
        self._solved.setdefault(grid, []).append(bounded)
        self._searched_s[self._anywhere(plan)] = found.bound_s - self._jitter_s(plan)
        return found.bound_s

    def any_layout_bound_s(self, plan: Plan, least: StageLoad) -> float:
        """A bound over all placements and all stage layouts of a plan, and however much it
        recomputes, with the `least` that its stages hold. Layers only add to passes and to what is
        reduced and gathered. Raises: OutOfTime."""
        plain = self._without_recompute(plan) or self._anywhere(plan)
        if plain in self._any_layout_s:
            return self._any_layout_s[plain]
        listed = self.scenario.running(plain)
        grid = grid_of(listed.topology, plain.degrees)
        bound_s = 0.0
        if grid is not None:
            batch = replace(OrderPrices(self.scenario).batch(plain), load=least)
            program = placement_program(listed, plain, batch, grid, self.budget)
            if self.holds_everywhere(plain, program.problem, listed):
                jitter_s = float(program.paths.parts.jitter_s[0])
                here = bounds_of(program.problem)
                solved = self._solved.get(grid, ())
                carried = [transferred_s(known, one) for known in solved for one in here]
                bound_s = max([quick_bound_s(program.problem, self.budget), *carried]) - jitter_s
        self._any_layout_s[plain] = bound_s
        return bound_s

    def program(self, listed: Scenario, plan: Plan, batch: Batch, grid: UnitGrid) -> PlacedProgram:
        """The plan's program, on one device type the same wherever it runs."""
        known = self._programs.get(self._anywhere(plan))
        if known is not None and len(listed.ideal.candidate_devices) == 1:
            return known
        program = placement_program(listed, plan, batch, grid, self.budget)
        self.keep(plan, listed, program)
        return program

    def keep(self, plan: Plan, listed: Scenario, program: PlacedProgram) -> None:
        if len(listed.ideal.candidate_devices) == 1:
            self._programs[self._anywhere(plan)] = program
            for oldest in list(self._programs)[:-_PROGRAMS]:
                del self._programs[oldest]

    def _anywhere(self, plan: Plan) -> Plan:
        return replace(plan, placement=replace(plan.placement, hosts=()))

    def holds_everywhere(self, plan: Plan, problem: PlacementProblem, listed: Scenario) -> bool:
        """Whether the program's bound also bounds the plan. That holds when all devices are of one
        type, the waits inside passes are not added to a pipeline that hides part of them, no
        scale-up domain lies under two switches, and the order of passes does not depend on the
        links."""
        each = listed.topology.kinds[0].domain_nodes
        whole = all(
            tier.nodes is None or tier.nodes % each == 0 for tier in listed.topology.fabric.tiers
        )
        single = len(listed.ideal.candidate_devices) == 1
        fixed = not kind_of(plan.schedule).runs_ahead
        return single and whole and fixed and not problem.has_waits_inside


_SEARCHED = 128
"""Plans for which all placements on few nodes are bounded by a search."""

_PROGRAMS = 64
"""Programs kept for plans that come again."""

_REMEMBERED = 4
"""Orders kept as seeds for the next plan on the same grid."""
