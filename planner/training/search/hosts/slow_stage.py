"""A node with slow links that no job on so many nodes leaves out: what lies in its stage is slow.

One device type, and pipelines that hold one copy of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.hardware.ideal import IdealTopology
from planner.training.batch import OPTIMIZER
from planner.training.costs import cost_table
from planner.training.step.sends import boundary_sends

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from planner.hardware.fabric import Hop
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.step.sends import Sends

NEARLY = 0.9
"""Share of the best hop from which on a slower one is not worth a look."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlowLayers:
    """Layers of the plans that `leaves` [N] tells, whose groups leave nodes: on slow links they are
    those of `table` in the rows `row` [N]."""

    leaves: NDArray[np.bool_]
    table: CostTable
    row: NDArray[np.int64]

    @classmethod
    def of(
        cls, ideal: Scenario, slowed: Scenario, table: CostTable, batch: Batch
    ) -> SlowLayers | None:
        """None where there are none. What is gathered and reduced in every pass may hide in longer
        passes; then the plan is left out."""
        kind = ideal.topology.kinds[0]
        spread = np.maximum(batch.tensor * batch.context, batch.expert * batch.expert_tensor)
        leaves = (spread > kind.devices_per_node) & (batch.data_sharding <= OPTIMIZER)
        if kind.domain_nodes > 1 or not leaves.any():
            return None
        rows, row = np.unique(batch.row, return_inverse=True)
        shards = tuple(table.shards[one] for one in rows.tolist())
        return cls(leaves=leaves, table=cost_table(slowed, shards), row=row.reshape(-1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlowStage:
    """A node that no placement leaves out, in whichever stage it lies. `slowed`: the ideal topology
    with hops like its own; `known` [N]: plans whose stages take whole nodes, one at least; `sends`:
    those of its pipeline, of which the ones from and to its stage are so slow; `rings` [N]: whether
    its stage reduces gradients over such a hop, `gathers` [N] whether it gathers parameters so.
    `layers`: those of plans whose groups leave nodes, of which one is as slow in any stage."""

    slowed: Scenario
    layers: SlowLayers | None
    known: NDArray[np.bool_]
    sends: Sends
    rings: NDArray[np.bool_]
    gathers: NDArray[np.bool_]


def slow_stage(scenario: Scenario, table: CostTable, batch: Batch) -> SlowStage | None:
    """None where no node is slow, or where it is in no stage of its own. `scenario` and `table`
    belong to the ideal topology."""
    topology = scenario.topology
    if not isinstance(topology, IdealTopology) or batch.kind.parameter_copies > 1:
        return None
    if len(topology.real_devices) > 1 or topology.nodes == 1:
        return None
    hop = topology.forced_hop
    if not slower(hop, topology.slowest_hop(2)):
        return None
    for row_stages, _, plans in grids(topology, batch):
        if row_stages == 1:
            rings = rings_slow(scenario, batch)
            slowed = scenario.slowed(hop)
            return SlowStage(
                slowed=slowed,
                layers=SlowLayers.of(scenario, slowed, table, batch),
                known=plans,
                sends=slow_sends(scenario, hop, table, batch),
                rings=rings,
                gathers=rings & gathers_on_rings(batch),
            )
    return None


def slow_sends(scenario: Scenario, hop: Hop, table: CostTable, batch: Batch) -> Sends:
    """Sends are slow on their way alone: the ranks that gather a copy on arrival may lie on nodes
    that are all fast."""
    stride = 0 if scenario.job.software.scatter_gather_sends else None
    return boundary_sends(scenario.slowed(hop, stride=stride), table, batch)


def gathers_on_rings(batch: Batch) -> NDArray[np.bool_]:
    """[N]: whether parameters are gathered around the rings that reduce gradients."""
    return np.asarray(batch.sharding_groups == 1)


def slower(hop: Hop, best: Hop) -> bool:
    return hop.bytes_per_s < NEARLY * best.bytes_per_s


def grids(topology: IdealTopology, batch: Batch) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
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


def rings_slow(scenario: Scenario, batch: Batch) -> NDArray[np.bool_]:
    """[N]: whether the gradients of every node go around a ring that has a hop at that node: the
    domain is the node, sharding groups lie inside it, and experts, if any, have the same rings as
    the rest."""
    kind = scenario.topology.kinds[0]
    unit = kind.devices_per_node
    replicas = batch.data * batch.context
    crosses = (replicas > 1) & (replicas * batch.tensor > unit)
    groups = batch.sharding_groups
    crosses &= (groups == 1) | (replicas // groups * batch.tensor <= unit)
    same = batch.expert * batch.expert_tensor == batch.tensor
    same |= scenario.model.moe is None
    return np.asarray(crosses & same & (kind.domain_nodes == 1))
