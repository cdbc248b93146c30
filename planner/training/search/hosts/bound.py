"""Lower bounds on the step over all placements, for many combinations at once.

They add two arguments to the bounds of the ideal topology, on which every group has the best links
that exist.

A job that fills more than one block of a tier (a leaf, a pod, a site) leaves it somewhere. Either
some stage's gradient ring leaves the block. Or every row of units lies in one block; then some
neighbouring rows lie in different blocks, and every pipeline crosses between them.

On a mixed cluster only a limited number of rows can have nothing but fast devices. Whatever the
stage layout, the layers take at least as long as if each row took the share that its slowest device
earns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.hardware.ideal import IdealTopology
from planner.schedule.simulation.simulate import simulate
from planner.training.batch import OUTER_KINDS
from planner.training.search.hosts.forced import forced_ways, smallest_s
from planner.training.step.parts import step_parts
from planner.training.step.passes import chunk_seconds
from planner.training.step.simulated import durations, schedule_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.hosts.forced import Ways
    from planner.training.step.parts import StepParts


def placement_bound_s(
    scenario: Scenario, table: CostTable, batch: Batch, parts: StepParts
) -> NDArray[np.float64]:
    """[N]: lower bound on every placement of a combination's stages, whatever links they get; 0
    where nothing is known beyond `parts`. `scenario`, `table` and `parts` belong to the ideal
    topology."""
    bound_s = _mixed_bound_s(scenario, table, batch, parts)
    for slow, known, one_column in _outgrown(scenario, table, batch):
        crossing_s = ring_s = np.full(len(batch), inf)
        for crossed in _crossings(parts, slow, batch):
            crossing_s = np.minimum(crossing_s, crossed.lower_bound_s())
        for rings in _slow_rings(parts, slow):
            ring_s = np.minimum(ring_s, replace(parts, reduction_s=rings).lower_bound_s())
        by_plan = np.where(one_column, crossing_s, np.minimum(crossing_s, ring_s))
        bound_s = np.maximum(bound_s, np.where(known, by_plan, 0.0))
    for ways in forced_ways(scenario, table, batch, parts):
        seconds = np.array([way.lower_bound_s() for way in ways.parts])
        bound_s = np.maximum(bound_s, smallest_s(ways, seconds))
    return bound_s


def simulated_bound_s(scenario: Scenario, table: CostTable, batch: Batch) -> float:
    """The same bound for the only plan of the batch, with its pipeline simulated."""
    parts = step_parts(scenario, table, batch)
    schedule = schedule_of(batch)
    weight_s = chunk_seconds(scenario, table, batch, table.weight_gradient_s)[0]
    spans: dict[bytes, float] = {}

    def span_s(changed: StepParts) -> float:
        arrays = (changed.reduction_s, changed.sends.forward_s, changed.sends.backward_s)
        key = b"".join(array.tobytes() for array in (*arrays, changed.tied_reduction_s))
        if key not in spans:
            spans[key] = simulate(schedule, durations(changed, weight_s)).span_s
        return spans[key] + float(changed.gather_s[0])

    bound_s = span_s(parts)
    for slow, known, one_column in _outgrown(scenario, table, batch):
        if not known[0]:
            continue
        least_s = inf
        if not one_column[0]:
            least_s = min(
                span_s(replace(parts, reduction_s=rings)) for rings in _slow_rings(parts, slow)
            )
        for crossed in _crossings(parts, slow, batch):
            if least_s <= bound_s:
                break
            least_s = min(least_s, span_s(crossed))
        bound_s = max(bound_s, least_s)
    for ways in forced_ways(scenario, table, batch, parts):
        bound_s = max(bound_s, _forced_s(ways, span_s, bound_s))
    return bound_s + float(parts.optimizer_s[0] + parts.jitter_s[0])


def _forced_s(ways: Ways, span_s: Callable[[StepParts], float], known_s: float) -> float:
    """The bound of the ways for the only plan of the batch, simulated as far as it is above
    `known_s`, the cheapest by closed form first."""
    if not ways.known[0] or not ways.parts:
        return 0.0
    ranked = sorted(ways.parts, key=lambda way: float(way.lower_bound_s()[0]))
    least = min(int(ways.least[0]), len(ranked))
    found: list[float] = []
    for way in ranked:
        found.append(span_s(way))
        if sum(seconds <= known_s for seconds in found) >= least:
            return 0.0
    return sorted(found)[least - 1]


def _mixed_bound_s(
    scenario: Scenario, table: CostTable, batch: Batch, parts: StepParts
) -> NDArray[np.float64]:
    """[N]: on mixed devices, the step in which every stage has the share of the layers that its
    slowest device earns, when the fastest devices of the cluster fill row after row. With one chunk
    per stage and whole backwards, one microbatch first goes all the way alone.

    Shapes, with T device types, K layer kinds, D devices of the cluster: `every_s` [N, T, K] both
    passes of a layer, `best_s` [N, 1, K] on the fastest type, `speeds` [N, T] at most 1,
    `fastest_first` [N, D], `stages` [N, p] the speed of each stage's slowest device.
    """
    topology = scenario.topology
    bound_s = np.zeros(len(batch))
    if not isinstance(topology, IdealTopology) or len(topology.real_devices) == 1:
        return bound_s
    layers = batch.load.counts.sum(axis=(0, 1))[:-OUTER_KINDS]
    every_s = table.by_device_s[:, batch.row].swapaxes(0, 1)
    best_s = every_s.min(axis=1, keepdims=True)
    held = np.flatnonzero(layers)
    speeds = (best_s[..., held] / every_s[..., held]).max(axis=-1)
    fastest_first = np.sort(speeds[:, topology.device_of_rank], axis=1)[:, ::-1]
    fastest_first = fastest_first[:, : topology.devices]
    stages = fastest_first.reshape(len(batch), batch.pipeline, -1).min(axis=-1)
    work_s = best_s[:, 0, held] @ layers[held]
    if not batch.kind.shares_vocabulary:
        outer = batch.load.counts.sum(axis=(0, 1))[-OUTER_KINDS:]
        work_s += speeds.min(axis=1) * (best_s[:, 0, -OUTER_KINDS:] @ outer)
    slowest_s = work_s / stages.sum(axis=1)
    alone = batch.kind.returns_to_first and batch.virtual_stages == 1
    pipeline_s = batch.chunk_microbatches * slowest_s + (work_s - slowest_s if alone else 0.0)
    found: NDArray[np.float64] = pipeline_s + parts.gather_s + parts.optimizer_s + parts.jitter_s
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shape:
    """bool [N]. `known`: rows and columns of units are whole, layers communicate inside a unit, and
    every row has at most one ring, so that the argument holds. `one_column`: a row has no ring."""

    known: NDArray[np.bool_]
    one_column: NDArray[np.bool_]

    @classmethod
    def of(cls, scenario: Scenario, topology: IdealTopology, batch: Batch) -> _Shape:
        unit = topology.kind.devices_per_node * topology.kind.domain_nodes
        stage = batch.tensor * batch.data * batch.context
        inside = (unit % (batch.tensor * batch.context) == 0) & (
            unit % (batch.expert * batch.expert_tensor) == 0
        )
        whole = (stage % unit == 0) | (unit % stage == 0)
        one_column = stage <= unit
        return cls(
            known=inside & whole & (one_column | (scenario.model.moe is None)),
            one_column=one_column,
        )


def _outgrown(
    scenario: Scenario, table: CostTable, batch: Batch
) -> Iterator[tuple[StepParts, NDArray[np.bool_], NDArray[np.bool_]]]:
    """For each kind of block that the job outgrows: the step when every hop leaves its block, the
    combinations for which the argument holds, and those with one column."""
    topology = scenario.topology
    if not isinstance(topology, IdealTopology) or batch.kind.parameter_copies > 1:
        return
    shape = _Shape.of(scenario, topology, batch)
    if not shape.known.any():
        return
    for slowed in scenario.outgrown:
        yield step_parts(slowed, table, batch), shape.known, shape.one_column


def _crossings(parts: StepParts, slow: StepParts, batch: Batch) -> Iterator[StepParts]:
    """The parts of the step for every way in which blocks can end between stages.

    Where blocks end once, the first and the last stage lie apart, so that the tied embedding's
    reduction and the way from the last chunk back to the first cross as well. Otherwise blocks end
    twice. Where that gives too many ways, only one end is counted.
    """
    owner = batch.placement.stage_of
    above, below = owner[:-1], owner[1:]
    stages = batch.pipeline
    gap = np.where(np.abs(above - below) == 1, np.minimum(above, below), stages - 1)
    gap = np.where(above == below, -1, gap)

    def crossed(*gaps: int, apart: bool) -> StepParts:
        here = np.isin(gap, gaps)
        sends = replace(
            parts.sends,
            forward_s=np.where(here, slow.sends.forward_s, parts.sends.forward_s),
            backward_s=np.where(here, slow.sends.backward_s, parts.sends.backward_s),
        )
        tied_s = slow.tied_reduction_s if apart else parts.tied_reduction_s
        return replace(parts, sends=sends, tied_reduction_s=tied_s)

    for one in range(stages - 1):
        if stages > _MOST_STAGES_IN_PAIRS:
            yield crossed(one, apart=False)
        else:
            yield crossed(one, stages - 1, apart=True)
            yield from (crossed(one, two, apart=False) for two in range(one + 1, stages - 1))


_MOST_STAGES_IN_PAIRS = 8
"""Most stages for which every pair of ends is tried."""


def _slow_rings(parts: StepParts, slow: StepParts) -> Iterator[NDArray[np.float64]]:
    """The reductions when the ring of one stage leaves a block, for each stage in turn."""
    for stage in range(parts.reduction_s.shape[1]):
        reduction_s = parts.reduction_s.copy()
        reduction_s[:, stage] = slow.reduction_s[:, stage]
        yield reduction_s
