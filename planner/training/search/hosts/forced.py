"""Lower bounds on the step over all placements from links that no placement can avoid.

A node that cannot be left out. A job takes n nodes, so it takes one whose links are all no wider
than the widest link of the n-th best node. In whichever row of the pipeline that node lies, its
sends to both neighbouring rows are slow, and so is the ring around which its row reduces gradients
and gathers parameters. If several nodes are that slow, they lie in several rows.

A link that some pipeline has to take. The C pipelines of a job are disjoint paths over n nodes, a
forest of n − C links, of which one is no wider than the (n − C)-th widest of a maximum spanning
tree.

One device type, and pipelines that hold one copy of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.hardware.ideal import IdealTopology
from planner.training.step.parts import step_parts
from planner.training.step.sends import Sends

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from planner.hardware.fabric import Hop
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.step.parts import StepParts

NEARLY = 0.9
"""Share of the best hop from which on a slower one is not worth a look."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ways:
    """Ways to place something slow, of which every placement has at least `least` ones or all that
    there are: the parts of the step under each. `known` [N]: the plans that this holds for."""

    known: NDArray[np.bool_]
    least: NDArray[np.int64]
    parts: tuple[StepParts, ...]


def forced_ways(
    scenario: Scenario, table: CostTable, batch: Batch, parts: StepParts
) -> Iterator[Ways]:
    """`scenario`, `table` and `parts` belong to the ideal topology."""
    topology = scenario.topology
    if not isinstance(topology, IdealTopology) or batch.kind.parameter_copies > 1:
        return
    if len(topology.real_devices) > 1 or topology.nodes == 1:
        return
    for row_stages, columns, plans in _grids(topology, batch):
        if batch.pipeline == row_stages and columns == 1:
            continue
        forced = topology.forced_hop
        if _slower(forced, topology.slowest_hop(2)):
            rows = -(-topology.nodes_forced // (columns * topology.kind.domain_nodes))
            slow = step_parts(scenario.slowed(forced), table, batch)
            yield Ways(
                known=plans,
                least=np.full(len(batch), rows),
                parts=tuple(_in_rows(scenario, batch, parts, slow, row_stages)),
            )
        each = topology.kind.domain_nodes
        link = topology.forest_hop(columns * each) if row_stages == 1 or each == 1 else None
        if link is not None and _slower(link, topology.slowest_hop(2)):
            slow = step_parts(scenario.slowed(link), table, batch)
            crossed = tuple(_at_boundaries(batch, parts, slow, row_stages))
            yield Ways(known=plans, least=np.ones(len(batch), dtype=np.int64), parts=crossed)


def smallest_s(ways: Ways, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N]: the bound that follows from a bound under every way, [ways, N]; 0 where none does."""
    if not len(seconds):
        return np.zeros(len(ways.known))
    ranked = np.sort(seconds, axis=0)
    place = np.minimum(ways.least, len(ranked)) - 1
    found: NDArray[np.float64] = np.take_along_axis(ranked, place[None], axis=0)[0]
    return np.where(ways.known, found, 0.0)


def _slower(hop: Hop, best: Hop) -> bool:
    return hop.bytes_per_s < NEARLY * best.bytes_per_s


def _grids(topology: IdealTopology, batch: Batch) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    """Stages in a row of units, units in a row, and the plans with that grid. Only grids of whole
    units."""
    unit = topology.kind.devices_per_node * topology.kind.domain_nodes
    if topology.devices % unit:
        return
    stage = topology.devices // batch.pipeline
    every = np.ones(len(batch), dtype=np.bool_)
    if stage % unit == 0:
        model = batch.tensor * batch.context
        yield 1, stage // unit, every & ((unit % model == 0) | (model % unit == 0))
    elif unit % stage == 0:
        yield unit // stage, 1, every


def _in_rows(
    scenario: Scenario, batch: Batch, parts: StepParts, slow: StepParts, row_stages: int
) -> Iterator[StepParts]:
    """The parts of the step with a slow node in every row of units in turn."""
    row = batch.placement.stage_of // row_stages
    leaves = row[:-1] != row[1:]
    rings = _rings_slow(scenario, batch)[:, None] & (row_stages == 1)
    for at in range(batch.pipeline // row_stages):
        here = leaves & ((row[:-1] == at) | (row[1:] == at))
        slow_row = rings & (np.arange(batch.pipeline) == at)
        yield replace(
            parts,
            sends=_with_slow(parts.sends, slow.sends, here),
            reduction_s=np.where(slow_row, slow.reduction_s, parts.reduction_s),
            stage_gathers_s=np.where(slow_row, slow.stage_gathers_s, parts.stage_gathers_s),
        )


def _rings_slow(scenario: Scenario, batch: Batch) -> NDArray[np.bool_]:
    """[N]: whether the gradients of every node go around a ring that has a hop at that node: the
    domain is the node, and experts, if any, have the same rings as the rest."""
    kind = scenario.topology.kinds[0]
    unit = kind.devices_per_node
    replicas = batch.data * batch.context
    crosses = (replicas > 1) & (replicas * batch.tensor > unit)
    same = batch.expert * batch.expert_tensor == batch.tensor
    same |= scenario.model.moe is None
    return np.asarray(crosses & same & (kind.domain_nodes == 1))


def _at_boundaries(
    batch: Batch, parts: StepParts, slow: StepParts, row_stages: int
) -> Iterator[StepParts]:
    """The parts of the step with slow sends at every boundary between rows in turn."""
    row = batch.placement.stage_of // row_stages
    above, below = row[:-1], row[1:]
    for at in range(batch.pipeline // row_stages - 1):
        here = (np.minimum(above, below) == at) & (np.abs(above - below) == 1)
        yield replace(parts, sends=_with_slow(parts.sends, slow.sends, here))


def _with_slow(sends: Sends, slow: Sends, here: NDArray[np.bool_]) -> Sends:
    return replace(
        sends,
        forward_s=np.where(here, slow.forward_s, sends.forward_s),
        backward_s=np.where(here, slow.backward_s, sends.backward_s),
    )
