"""The placement of one plan: solve the program, price its answer in full, add the critical path it
underestimated as a cut, repeat until both agree. The framework's own order is priced too, and kept
when it is best."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations, cycle
from typing import TYPE_CHECKING, Protocol

import numpy as np

from planner.budget import UNLIMITED, OutOfTime
from planner.placement.solve import improve_placement, solve_placement
from planner.solver import Solver
from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, shard_of
from planner.training.search.hosts.grid import grid_of, nodes_in_order, unit_classes
from planner.training.search.hosts.methods import (
    ALIKE_BY_TYPE,
    CLOSE,
    UNALIGNED,
    PlacedPlan,
)
from planner.training.search.hosts.placement import placement_on
from planner.training.search.hosts.problem import critical_path, placement_problem, with_path
from planner.training.step.simulated import slowest_replica
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.budget import Budget
    from planner.placement.problem.problem import PlacementProblem, PlacementSolution
    from planner.plan import Plan
    from planner.training.batch import Batch
    from planner.training.scenario import Scenario
    from planner.training.search.hosts.grid import UnitGrid
    from planner.training.search.hosts.problem import CriticalPath

ROUNDS = 4
"""Most programs that are solved for one plan."""

AGREE = 1e-4
"""Share of the step within which program and price agree, so that no further round is needed."""

EQUAL = 1e-9
"""Share of the step within which a price counts as reaching its bound."""

MOST_EXCHANGED = 20
"""Most units for which exchanges are priced in full."""

PRICED = 120
"""Most exchanges of two units that are priced in full for one plan."""

PROOF_WORK = 0.1
"""Share of the effort of `solve_placement` that the proof of one plan gets."""


class Solve(Protocol):
    """`planner.placement.solve.solve_placement` or `improve_placement`."""

    def __call__(
        self,
        problem: PlacementProblem,
        *,
        seeds: Sequence[Sequence[int]],
        budget: Budget,
    ) -> PlacementSolution: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Priced:
    units: tuple[int, ...]
    step_s: float
    path: CriticalPath


@dataclass(slots=True, kw_only=True)
class PlacementSearch:
    """Chooses hosts for plans of one scenario, and remembers good orders for each grid.

    When time runs out, plans keep the best hosts so far; OutOfTime is raised where there are none.
    """

    scenario: Scenario
    budget: Budget = UNLIMITED
    solver: Solver = field(default_factory=Solver)
    _known: dict[UnitGrid, list[tuple[int, ...]]] = field(default_factory=dict)

    def place(self, plan: Plan, bound_s: float) -> PlacedPlan:
        """The plan on the best hosts that a short search finds. Every stage stays on the device
        types that it has on the plan's own hosts. `bound_s` is a known bound over all
        placements."""
        return self._place(plan, bound_s, improve_placement)

    def prove(self, placed: PlacedPlan) -> PlacedPlan:
        """The plan placed again with all the effort that a proof may take."""
        solve = partial(solve_placement, solver=self.solver)
        found = self._place(placed.plan, placed.bound_s, solve, work=PROOF_WORK)
        return self._exchanged(found)

    def _place(self, plan: Plan, bound_s: float, solve: Solve, *, work: float = 1.0) -> PlacedPlan:
        listed = self.scenario.placed(plan.placement.hosts)
        grid = grid_of(listed.topology, plan.degrees)
        if grid is None:
            return PlacedPlan(plan=plan, bound_s=bound_s, method=UNALIGNED)
        if self._alike(grid):
            return PlacedPlan(plan=plan, bound_s=bound_s, method=ALIKE_BY_TYPE)
        batch, units = self._batch(plan), grid.units_of(listed.topology)
        best = self._price(plan, batch, grid, units)
        if best.step_s <= bound_s * (1 + EQUAL):
            return PlacedPlan(plan=plan, bound_s=best.step_s, method=CLOSE)
        method = "bound over all placements"
        with suppress(OutOfTime):
            problem = placement_problem(listed, plan, batch, grid, self.budget)
            known = [seed for seed in self._known.get(grid, ()) if problem.allows(np.array(seed))]
            seeds = [units, *known]
            for _ in range(ROUNDS):
                solution = solve(problem, seeds=seeds, budget=self.budget.scaled(work))
                if solution.bound_s > bound_s and self._bounds_everywhere(problem, listed):
                    bound_s, method = solution.bound_s, solution.method
                found = self._price(plan, batch, grid, solution.order)
                agree = found.step_s <= solution.objective_s * (1 + AGREE)
                best = min(best, found, key=lambda priced: priced.step_s)
                if agree or bound_s >= best.step_s * (1 - AGREE):
                    break
                self.budget.check()
                seeds = [best.units, *seeds]
                problem = with_path(problem, found.path)
        self._remember(grid, best.units)
        return PlacedPlan(
            plan=replace(
                plan, placement=placement_on(self.scenario, self._hosts(grid, best.units))
            ),
            bound_s=min(bound_s, best.step_s),
            method=method,
        )

    def _alike(self, grid: UnitGrid) -> bool:
        """Whether all nodes of a device type are alike, so that an order of them changes
        nothing."""
        topology = self.scenario.topology
        classes = unit_classes(topology, grid.unit_nodes)
        return len(classes.first_node) == len({kind.device for kind in topology.kinds})

    def _bounds_everywhere(self, problem: PlacementProblem, listed: Scenario) -> bool:
        """Whether the program's bound also bounds the plan. That holds when all devices are of one
        type and the waits inside passes are not added to a pipeline that hides part of them."""
        return len(listed.candidate_devices) == 1 and not (
            problem.rows > 1 and problem.has_waits_inside
        )

    def _exchanged(self, placed: PlacedPlan) -> PlacedPlan:
        """Exchange pairs of units while that lowers the full price. The program may see units as
        equal that differ where links are not the same in both directions."""
        plan = placed.plan
        listed = self.scenario.placed(plan.placement.hosts)
        grid = grid_of(listed.topology, plan.degrees)
        if grid is None or grid.rows * grid.columns > MOST_EXCHANGED or self._alike(grid):
            return placed
        batch = self._batch(plan)
        best = self._price(plan, batch, grid, grid.units_of(listed.topology))
        if placed.bound_s >= best.step_s * (1 - AGREE):
            return placed
        pairs = list(combinations(range(len(best.units)), 2))
        tries, unchanged = self.budget.meter(PRICED), 0
        for one, two in cycle(pairs):
            if unchanged == len(pairs) or tries.ended:
                break
            tries.spend()
            unchanged += 1
            kinds = [listed.topology.kinds[best.units[at] * grid.unit_nodes] for at in (one, two)]
            if kinds[0].device is kinds[1].device:
                exchanged = list(best.units)
                exchanged[one], exchanged[two] = exchanged[two], exchanged[one]
                found = self._price(plan, batch, grid, exchanged)
                if found.step_s < best.step_s:
                    best, unchanged = found, 0
        hosts = self._hosts(grid, best.units)
        return replace(placed, plan=replace(plan, placement=placement_on(self.scenario, hosts)))

    def _batch(self, plan: Plan) -> Batch:
        load = stage_load(self.scenario.model, self.scenario.kinds, plan.stages)
        return batch_of_one(plan, 0, load)

    def _price(self, plan: Plan, batch: Batch, grid: UnitGrid, units: Sequence[int]) -> _Priced:
        hosts = self._hosts(grid, units)
        scenario = self.scenario.placed(hosts)
        table = cost_table(scenario, [shard_of(plan)])
        parts, timeline = slowest_replica(scenario, table, batch)
        after_s = parts.gather_s[0] + parts.optimizer_s[0] + parts.jitter_s[0]
        path = critical_path(timeline, parts, batch, grid)
        rest_s = float(parts.optimizer_s[0] + parts.jitter_s[0])
        return _Priced(
            units=tuple(units),
            step_s=float(timeline.span_s + after_s),
            path=replace(path, seconds=path.seconds + rest_s),
        )

    def _hosts(self, grid: UnitGrid, units: Sequence[int]) -> tuple[str, ...]:
        names = self.scenario.cluster.host_names()
        return tuple(names[node] for node in nodes_in_order(units, grid.unit_nodes))

    def _remember(self, grid: UnitGrid, units: tuple[int, ...]) -> None:
        known = self._known.setdefault(grid, [])
        if units not in known:
            known.insert(0, units)
            del known[_REMEMBERED:]


_REMEMBERED = 4
"""Orders kept as seeds for the next plan on the same grid."""
