"""Builds the placement problem of one plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.placement.bounds.paths import without_idle_paths
from planner.placement.bounds.reach import between_two_nodes
from planner.placement.problem.problem import Closing, PlacementProblem, RingFamily, Wait
from planner.training.costs import cost_table
from planner.training.estimate import shard_of
from planner.training.search.hosts.grid import unit_classes
from planner.training.search.hosts.paths import LinkCosts, PlanPaths, boundary_rows
from planner.training.search.hosts.rates import rated_step
from planner.training.step.passes import chunk_seconds
from planner.training.step.simulated import durations, slowest_replica

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.hardware.links import Topology
    from planner.plan import Plan
    from planner.schedule.simulation.timeline import Timeline
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.hosts.grid import UnitClasses, UnitGrid
    from planner.training.search.hosts.paths import PathRows
    from planner.training.search.hosts.rates import RatedStep
    from planner.training.step.parts import StepParts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedProgram:
    """The placement problem of a plan, and what makes rows of its critical paths. `slow_s`: a
    message onward and one back over the slowest link. `thorough`: with the paths that slow links at
    each boundary make critical."""

    problem: PlacementProblem
    paths: PlanPaths
    slow_s: tuple[float, float]
    thorough: bool = False

    def with_slow_boundaries(self) -> PlacedProgram:
        """With the paths that the slowest link at each boundary makes critical, where windows of
        stages do not have them already."""
        if self.thorough or self.paths.batch.kind.windows_are_paths or self.problem.rows == 1:
            return replace(self, thorough=True)
        rows = self.paths.of_slow_boundaries(*self.slow_s)
        problem = without_idle_paths(_with_rows(self.problem, rows))
        return replace(self, problem=problem, thorough=True)

    def with_timeline(self, timeline: Timeline) -> PlacedProgram:
        """With the paths that make a simulated step as long as it is."""
        return replace(self, problem=_with_rows(self.problem, self.paths.cut(timeline)))


def placement_program(
    scenario: Scenario, plan: Plan, batch: Batch, grid: UnitGrid, budget: Budget = UNLIMITED
) -> PlacedProgram:
    """How long the plan's step would take over which links. `batch` is the plan alone, for the
    first row of a cost table. Passes are priced on the ideal topology. On mixed devices they are
    priced on the scenario as it is placed, and no row may change its device types. Raises:
    OutOfTime."""
    ideal, classes = scenario.ideal, unit_classes(scenario.topology, grid.unit_nodes)
    table = cost_table(ideal, [shard_of(plan)])
    inside = _rings_inside(plan, grid)
    above, below = boundary_rows(batch, grid)
    node_devices = grid.unit_devices // grid.unit_nodes
    rated = rated_step(
        ideal,
        table,
        batch,
        sends=classes.pairs(max(1, plan.degrees.stage_devices // node_devices)),
        rings=classes.hops(max(1, plan.degrees.tensor // node_devices)),
        crosses=above != below,
        crosses_inside=bool(inside),
        budget=budget,
    )
    apart = between_two_nodes(classes.of_unit, len(classes.first_node))
    costs = LinkCosts.of(rated.forward_s, rated.backward_s, apart)
    parts, timeline, weight_s = _passes(scenario, table, batch)
    data = () if grid.row_stages > 1 else _reducing_rings(plan, grid)
    paths = PlanPaths(
        batch=batch,
        grid=grid,
        costs=costs,
        timeline=timeline,
        durations=durations(parts, weight_s),
        parts=parts,
        after_s=_after_s(parts, batch, rings=bool(data)),
    )
    rows = paths.of_ideal()
    closing = None
    if data and rated.reduction_s.any():
        family = _family(data, rated.reduction_s, apart)
        slack_s = timeline.pass_span_s - timeline.last_end_s
        closing = Closing(family=family, path_row=rows.path_row, slack_s=slack_s)
    problem = PlacementProblem(
        rows=grid.rows,
        columns=grid.columns,
        lockstep=grid.lockstep,
        node_class=classes.of_unit,
        link_s=costs.pair_s,
        path_s=rows.path_s,
        path_links=rows.path_links,
        waits=_waits(scenario, plan, grid, rated, inside, apart),
        closing=closing,
        has_waits_inside=bool(inside) and bool(rated.inside_s.any()),
        row_class_allowed=_row_classes(scenario.topology, grid, classes),
    )
    together = paths.together() if closing is not None else None
    if batch.kind.windows_are_paths and grid.rows > 1:
        windows, together = paths.windows()
        problem = _with_rows(problem, windows)
    if problem.closing is not None:
        problem = replace(problem, closing=replace(problem.closing, together=together))
    slowest = np.unravel_index(int(np.where(apart, costs.pair_s, 0.0).argmax()), apart.shape)
    return PlacedProgram(
        problem=without_idle_paths(problem),
        paths=paths,
        slow_s=(float(rated.forward_s[slowest]), float(rated.backward_s.T[slowest])),
    )


def _with_rows(problem: PlacementProblem, rows: PathRows) -> PlacementProblem:
    """The problem with more paths."""
    closing = problem.closing
    if closing is not None:
        path_row = np.concatenate((closing.path_row, rows.path_row))
        closing = replace(closing, path_row=path_row)
    return replace(
        problem,
        path_s=np.concatenate((problem.path_s, rows.path_s)),
        path_links=np.concatenate((problem.path_links, rows.path_links)),
        closing=closing,
    )


def _after_s(parts: StepParts, batch: Batch, *, rings: bool) -> NDArray[np.float64]:
    """[p]: what follows the last pass of a stage, wherever it is placed. Without rings between
    units, reduction and gather are inside them."""
    after_s = np.full(batch.pipeline, float(parts.optimizer_s[0] + parts.jitter_s[0]))
    after_s[[0, -1]] += float(parts.tied_reduction_s[0])
    return after_s if rings else after_s + parts.reduction_s[0] + parts.gather_s[0]


def _passes(
    scenario: Scenario, ideal_table: CostTable, batch: Batch
) -> tuple[StepParts, Timeline, NDArray[np.float64]]:
    """The parts of the step, its timeline and the weight gradients of its chunks [p, v], priced on
    the scenario as it is placed where there are several device types."""
    priced, table = scenario.ideal, ideal_table
    if len(priced.candidate_devices) > 1:
        priced, table = scenario, cost_table(scenario, ideal_table.shards)
    parts, timeline = slowest_replica(priced, table, batch)
    return parts, timeline, chunk_seconds(priced, table, batch, table.weight_gradient_s)[0]


def _row_classes(topology: Topology, grid: UnitGrid, classes: UnitClasses) -> NDArray[np.bool_]:
    """bool [rows, K]: the classes whose devices a row already has."""
    of_class = [topology.kinds[node].device for node in classes.first_node.tolist()]
    rows = np.array(topology.order).reshape(grid.rows, -1)
    present = [{topology.kinds[node].device for node in row} for row in rows.tolist()]
    return np.array([[device in row for device in of_class] for row in present])


def _rings_inside(plan: Plan, grid: UnitGrid) -> tuple[tuple[int, ...], ...]:
    """The rings of columns around which layers communicate in every pass."""
    degrees = plan.degrees
    rings: tuple[tuple[int, ...], ...] = ()
    shapes = {
        (degrees.tensor, 1),
        (degrees.context, degrees.tensor),
        (degrees.expert, degrees.expert_tensor),
        (degrees.expert_tensor, 1),
    }
    if plan.data_sharding in ("optimizer+gradients", "full"):
        rings = _reducing_rings(plan, grid)
    if grid.row_stages > 1:
        return ()
    return tuple(sorted({*rings, *(ring for shape in shapes for ring in grid.ring(*shape))}))


def _reducing_rings(plan: Plan, grid: UnitGrid) -> tuple[tuple[int, ...], ...]:
    """The rings of columns around which gradients go: those of all replicas, or between sharding
    groups that each lie in a unit. Nothing where a group spans several units, whose two kinds of
    rings have no common price."""
    groups, tensor = plan.sharding_groups, plan.degrees.tensor
    inside = _replicas(plan) // groups
    if groups == 1:
        return grid.ring(_replicas(plan), tensor)
    return grid.ring(groups, inside * tensor) if inside * tensor <= grid.unit_devices else ()


def _waits(
    scenario: Scenario,
    plan: Plan,
    grid: UnitGrid,
    rated: RatedStep,
    inside: tuple[tuple[int, ...], ...],
    apart: NDArray[np.bool_],
) -> tuple[Wait, ...]:
    """What the step waits for in addition: the parameter gather, and groups inside the passes."""
    none = np.zeros(grid.rows)
    waits = []
    gathers = () if plan.sharding_groups > 1 else _reducing_rings(plan, grid)
    if grid.row_stages == 1 and gathers and rated.gather_s.any():
        family = _family(gathers, rated.gather_s, apart)
        waits.append(Wait(families=(family,), hidden_s=none))
    if inside and rated.inside_s.any():
        family = RingFamily(rings=inside, hop_s=rated.inside_s, scale=none + 1)
        waits.append(Wait(families=(family,), hidden_s=none))
    return tuple(waits)


def _family(
    rings: tuple[tuple[int, ...], ...], seconds: NDArray[np.float64], apart: NDArray[np.bool_]
) -> RingFamily:
    """Rings of what takes every stage some `seconds` [K, K, p]: as those of the fullest stage, of
    which every other takes at least a share."""
    fullest = int(seconds[apart].max(axis=0).argmax())
    own_s = seconds[apart][:, fullest]
    share = seconds[apart] / np.where(own_s > 0, own_s, np.inf)[:, None]
    return RingFamily(rings=rings, hop_s=seconds[..., fullest], scale=share[own_s > 0].min(axis=0))


def _replicas(plan: Plan) -> int:
    """Ranks that share the gradients of a stage's dense parameters."""
    return plan.degrees.data * plan.degrees.context
