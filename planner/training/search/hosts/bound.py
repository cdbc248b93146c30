"""Lower bounds on the step over all placements, for many combinations at once.

They add two arguments to the bounds of the ideal topology, on which every group has the best links
that exist.

A job that fills more than one block of a tier (a leaf, a pod, a site) leaves it somewhere. Either
some stage's gradient ring leaves the block. Or every row of units lies in one block; then some
neighbouring rows lie in different blocks, and every pipeline crosses between them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from planner.hardware.ideal import IdealTopology
from planner.schedule.simulation.simulate import step_spans
from planner.training.search.hosts.forced import Ways, forced_ways
from planner.training.search.hosts.slow_stage import gathers_on_rings
from planner.training.step.parts import step_parts
from planner.training.step.passes import chunk_seconds
from planner.training.step.simulated import durations, schedule_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.step.parts import StepParts


def placement_bound_s(
    scenario: Scenario, table: CostTable, batch: Batch, parts: StepParts
) -> NDArray[np.float64]:
    """[N]: lower bound on every placement of a combination's stages, whatever links they get; 0
    where nothing is known beyond `parts`. `scenario`, `table` and `parts` belong to the ideal
    topology."""
    return _unequal_s(scenario, table, batch, parts, _closed_form_s)


def _closed_form_s(parts: StepParts) -> NDArray[np.float64]:
    return parts.lower_bound_s()


def _unequal_s(
    scenario: Scenario,
    table: CostTable,
    batch: Batch,
    parts: StepParts,
    each: Callable[[StepParts], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """[N]: what follows from unequal links; `each`: seconds of the step for given parts, [R, N]."""
    bound_s = np.zeros(len(batch))
    for crossings, rings, one_column in _outgrown(scenario, table, batch, parts):
        crossing_s = crossings.seconds(each)
        open_ = ~one_column & (crossing_s > bound_s)
        if open_.any():
            ring_s = np.where(one_column, np.inf, rings.seconds(each))
            crossing_s = np.minimum(crossing_s, ring_s)
        bound_s = np.maximum(bound_s, crossing_s)
    for ways in forced_ways(scenario, table, batch, parts):
        bound_s = np.maximum(bound_s, ways.seconds(each))
    return bound_s


def simulated_bound_s(scenario: Scenario, table: CostTable, batch: Batch) -> float:
    """The same bound for the only plan of the batch, with its pipeline simulated, except where the
    links decide the order of its passes: the closed form holds for every order. 0 on several device
    types: the least backward and the least weight gradients of all types may belong to two of them,
    so that what is between them is no bound on any (`planner.training.search.mixed.simulated` has
    their bound)."""
    if len(scenario.candidate_devices) > 1:
        return 0.0
    parts = step_parts(scenario, table, batch)
    if batch.kind.runs_ahead:
        placed_s = placement_bound_s(scenario, table, batch, parts)
        return float(np.maximum(parts.lower_bound_s(), placed_s)[0])
    schedule = schedule_of(batch)
    weight_s = chunk_seconds(scenario, table, batch, table.weight_gradient_s)[0]

    def each(changed: StepParts) -> NDArray[np.float64]:
        own = replace(changed, sends=parts.sends, reduction_s=parts.reduction_s)
        several = replace(
            durations(replace(own, tied_reduction_s=parts.tied_reduction_s), weight_s),
            forward_send_s=changed.sends.forward_s[..., 0, :],
            backward_send_s=changed.sends.backward_s[..., 0, :],
            reduction_s=changed.reduction_s[..., 0, :],
            tied_reduction_s=changed.tied_reduction_s[..., 0],
        )
        after_s = changed.gather_s + changed.optimizer_s + changed.jitter_s
        return np.asarray(step_spans(schedule, several)[..., None] + after_s)

    usual_s = float(each(parts)[0])
    return max(usual_s, float(_unequal_s(scenario, table, batch, parts, each)[0]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shape:
    """bool [N]. `known`: rows and columns of units are whole, layers communicate inside a unit, and
    sharding groups too if there are several, and every row has at most one ring, so that the
    argument holds. `one_column`: a row has no ring."""

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
        groups = batch.sharding_groups
        together = (groups == 1) | (stage // groups <= unit)
        return cls(
            known=inside & whole & together & (one_column | (scenario.model.moe is None)),
            one_column=one_column,
        )


def _outgrown(
    scenario: Scenario, table: CostTable, batch: Batch, parts: StepParts
) -> Iterator[tuple[Ways, Ways, NDArray[np.bool_]]]:
    """For each kind of block that the job outgrows: the ways in which pipelines leave their block,
    those in which a ring does, and the combinations with one column."""
    topology = scenario.topology
    if not isinstance(topology, IdealTopology) or batch.kind.parameter_copies > 1:
        return
    shape = _Shape.of(scenario, topology, batch)
    if not shape.known.any():
        return
    sends, apart = _crossings(batch)
    gathers = gathers_on_rings(batch)
    for slowed in scenario.outgrown:
        slow = step_parts(slowed, table, batch)
        rings = np.eye(batch.pipeline, dtype=np.bool_)
        none = np.zeros((batch.pipeline, sends.shape[1]), dtype=np.bool_)
        yield (
            Ways.of(shape.known, parts, slow, sends, tied=apart),
            Ways.of(shape.known, parts, slow, none, rings=rings[:, None], gathers=gathers),
            shape.one_column,
        )


def _crossings(batch: Batch) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Every way in which blocks can end between stages: the sends that cross, [R, p·v − 1], and
    whether the first and the last stage lie apart, [R].

    Where blocks end once, they do, so that the tied embedding's reduction and the way from the last
    chunk back to the first cross as well. Otherwise blocks end twice. Where that gives too many
    ways, only one end is counted.
    """
    owner = batch.placement.stage_of
    above, below = owner[:-1], owner[1:]
    stages = batch.pipeline
    gap = np.where(np.abs(above - below) == 1, np.minimum(above, below), stages - 1)
    gap = np.where(above == below, -1, gap)
    if stages > _MOST_STAGES_IN_PAIRS:
        ends: list[tuple[int, ...]] = [(one,) for one in range(stages - 1)]
    else:
        ends = list(combinations(range(stages), 2))
    crossed = np.array([np.isin(gap, some) for some in ends], dtype=np.bool_)
    crossed = crossed.reshape(len(ends), len(gap))
    return crossed, np.array([stages - 1 in some for some in ends], dtype=np.bool_)


_MOST_STAGES_IN_PAIRS = 8
"""Most stages for which every pair of ends is tried."""
