"""Builds the placement problem of one plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.placement.problem.problem import PlacementProblem, RingFamily, Wait
from planner.schedule.bounds.windows import critical_paths
from planner.training.costs import cost_table
from planner.training.estimate import shard_of
from planner.training.search.hosts.grid import unit_classes
from planner.training.search.hosts.rates import rated_step
from planner.training.step.simulated import slowest_replica

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
    from planner.training.search.hosts.rates import RatedStep
    from planner.training.step.parts import StepParts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CriticalPath:
    """A path of passes and sends: its seconds with free sends, and how often it crosses each
    boundary of rows there and back, [rows − 1]."""

    seconds: float
    links: NDArray[np.float64]


def placement_problem(
    scenario: Scenario, plan: Plan, batch: Batch, grid: UnitGrid, budget: Budget = UNLIMITED
) -> PlacementProblem:
    """How long the plan's step would take over which links. `batch` is the plan alone, for the
    first row of a cost table. Passes are priced on the ideal topology. On mixed devices they are
    priced on the scenario as it is placed, and no row may change its device types. Raises:
    OutOfTime."""
    ideal, classes = scenario.ideal, unit_classes(scenario.topology, grid.unit_nodes)
    table = cost_table(ideal, [shard_of(plan)])
    inside = _rings_inside(plan, grid)
    rated = rated_step(
        ideal,
        table,
        batch,
        classes.bytes_per_s,
        classes.latency_s,
        crosses_inside=bool(inside),
        budget=budget,
    )
    link_s = rated.crossing_s[rated.link]
    parts, timeline = _passes(scenario, table, batch)
    path = critical_path(timeline, parts, batch, grid)
    path_s, path_links = np.array([path.seconds]), path.links[None]
    if batch.kind.windows_are_paths and plan.degrees.pipeline > 1:
        window_s, window_links = _windows(parts, batch, grid)
        path_s = np.concatenate((path_s, window_s))
        path_links = np.concatenate((path_links, window_links))
    rest_s = float(parts.optimizer_s[0] + parts.jitter_s[0])
    return PlacementProblem(
        rows=grid.rows,
        columns=grid.columns,
        lockstep=grid.lockstep,
        node_class=classes.of_unit,
        link_s=(link_s + link_s.T) / 2,
        path_s=path_s + rest_s,
        path_links=path_links,
        waits=_waits(plan, grid, rated, timeline, inside),
        has_waits_inside=bool(inside) and bool(rated.inside_s.any()),
        row_class_allowed=_row_classes(scenario.topology, grid, classes),
    )


def _passes(scenario: Scenario, ideal_table: CostTable, batch: Batch) -> tuple[StepParts, Timeline]:
    if len(scenario.ideal.candidate_devices) == 1:
        return slowest_replica(scenario.ideal, ideal_table, batch)
    return slowest_replica(scenario, cost_table(scenario, ideal_table.shards), batch)


def _row_classes(topology: Topology, grid: UnitGrid, classes: UnitClasses) -> NDArray[np.bool_]:
    """bool [rows, K]: the classes whose devices a row already has."""
    of_class = [topology.kinds[node].device for node in classes.first_node.tolist()]
    rows = np.array(topology.order).reshape(grid.rows, -1)
    present = [{topology.kinds[node].device for node in row} for row in rows.tolist()]
    return np.array([[device in row for device in of_class] for row in present])


def with_path(problem: PlacementProblem, path: CriticalPath) -> PlacementProblem:
    """The problem with one more path."""
    return replace(
        problem,
        path_s=np.append(problem.path_s, path.seconds),
        path_links=np.vstack((problem.path_links, path.links)),
    )


def critical_path(
    timeline: Timeline, parts: StepParts, batch: Batch, grid: UnitGrid
) -> CriticalPath:
    """The longest path of a simulated pipeline. Both directions of a send count together, and time
    never falls when a send gets longer, so with other links the pipeline takes at least what this
    path takes: a cutting plane (Kelley 1960)."""
    owner = batch.placement.stage_of // grid.row_stages
    links = np.zeros(grid.rows - 1)
    crossing_s = 0.0
    for segment in timeline.pass_path():
        if segment.activity not in ("forward_send", "backward_send") or segment.chunk is None:
            continue
        position = int(batch.placement.positions[segment.stage, segment.chunk])
        onward = 1 if segment.activity == "forward_send" else -1
        here, there = int(owner[position]), int(owner[position + onward])
        if abs(here - there) == 1:
            links[min(here, there)] += 0.5
            crossing_s += segment.end_s - segment.start_s
    return CriticalPath(
        seconds=timeline.pass_span_s - crossing_s + float(parts.tied_reduction_s[0]), links=links
    )


def _windows(
    parts: StepParts, batch: Batch, grid: UnitGrid
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The windows of consecutive stages of 1F1B; boundaries inside a unit keep their own sends."""
    path_s, path_links = critical_paths(
        parts.passes.forward_s[0, :, 0],
        parts.passes.backward_s[0, :, 0],
        num_microbatches=int(batch.num_microbatches[0]),
        blocking=parts.sends.mode == "blocking",
    )
    crosses = np.arange(1, batch.pipeline) % grid.row_stages == 0
    inside_s = (parts.sends.forward_s[0] + parts.sends.backward_s[0])[~crosses]
    path_s = path_s + path_links[:, ~crosses] @ inside_s + float(parts.tied_reduction_s[0])
    return path_s, path_links[:, crosses]


def _rings_inside(plan: Plan, grid: UnitGrid) -> tuple[tuple[int, ...], ...]:
    """The rings of columns around which layers communicate in every pass."""
    degrees = plan.degrees
    shapes = {
        (degrees.tensor, 1),
        (degrees.context, degrees.tensor),
        (degrees.expert, degrees.expert_tensor),
        (degrees.expert_tensor, 1),
    }
    if plan.data_sharding in ("optimizer+gradients", "full"):
        shapes.add((degrees.data * degrees.context, degrees.tensor))
    if grid.row_stages > 1:
        return ()
    return tuple(sorted({ring for shape in shapes for ring in grid.ring(*shape)}))


def _waits(
    plan: Plan,
    grid: UnitGrid,
    rated: RatedStep,
    timeline: Timeline,
    inside: tuple[tuple[int, ...], ...],
) -> tuple[Wait, ...]:
    """The waits of the step: gradient reduction on every stage's ring after its last pass,
    parameter gather, and what groups inside the passes wait for."""
    none = np.zeros(grid.rows)
    waits = []
    data = () if grid.row_stages > 1 else _data_rings(plan, grid)
    if data and rated.reduction_s.any():
        largest = rated.reduction_s.max(axis=0)
        fullest = int(largest.argmax())
        waits.append(
            Wait(
                families=(
                    RingFamily(
                        rings=data,
                        hop_s=rated.reduction_s[:, fullest][rated.link],
                        scale=largest / largest[fullest],
                    ),
                ),
                hidden_s=timeline.pass_span_s - timeline.last_end_s,
            )
        )
    if data and rated.gather_s.any():
        family = RingFamily(rings=data, hop_s=rated.gather_s[rated.link], scale=none + 1)
        waits.append(Wait(families=(family,), hidden_s=none))
    if inside and rated.inside_s.any():
        family = RingFamily(
            rings=inside, hop_s=rated.inside_s.max(axis=-1)[rated.link], scale=none + 1
        )
        waits.append(Wait(families=(family,), hidden_s=none))
    return tuple(waits)


def _data_rings(plan: Plan, grid: UnitGrid) -> tuple[tuple[int, ...], ...]:
    degrees = plan.degrees
    return grid.ring(degrees.data * degrees.context, degrees.tensor)
