"""Lower bounds on the step over all placements from links that no placement can avoid.

A node that cannot be left out. A job takes n nodes, so it takes one whose links are all no wider
than the widest link of the n-th best node. In whichever row of the pipeline that node lies, its
sends to both neighbouring rows are slow, and so is the ring around which its row reduces gradients
and gathers parameters. If several nodes are that slow, they lie in several rows. Groups of the
layers that leave a node count as the slowest of their kind, so that one of them is slow in any row.

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
from planner.training.search.hosts.slow_stage import (
    SlowLayers,
    gathers_on_rings,
    grids,
    rings_slow,
    slow_sends,
    slower,
)
from planner.training.step.parts import step_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from planner.hardware.fabric import Hop
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.step.parts import StepParts

_ELEMENTS = 1 << 21
"""Most chunks whose times are bounded at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ways:
    """R ways to place something slow, of which every placement has at least `least` [N], or all.
    `known` [N]: the plans that this holds for. `base`: the parts of the step apart from the ways.
    Masks [R, ...] tell what a way makes slow: `sends` [R, p·v − 1], `rings` [R, N, p], `tied` [R];
    `gathers` [N]: whether parameters are gathered on slow rings as well; `slow`: the parts of the
    step where everything is slow."""

    known: NDArray[np.bool_]
    least: NDArray[np.int64]
    base: StepParts
    slow: StepParts
    sends: NDArray[np.bool_]
    rings: NDArray[np.bool_]
    tied: NDArray[np.bool_]
    gathers: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.sends)

    @classmethod
    def of(
        cls,
        known: NDArray[np.bool_],
        base: StepParts,
        slow: StepParts,
        sends: NDArray[np.bool_],
        *,
        least: int = 1,
        rings: NDArray[np.bool_] | None = None,
        tied: NDArray[np.bool_] | None = None,
        gathers: NDArray[np.bool_] | None = None,
    ) -> Ways:
        shape = (len(sends), len(known), slow.reduction_s.shape[-1])
        return cls(
            known=known,
            least=np.full(len(known), least),
            base=base,
            slow=slow,
            sends=sends,
            rings=np.broadcast_to(False if rings is None else rings, shape),
            tied=np.zeros(len(sends), dtype=np.bool_) if tied is None else tied,
            gathers=np.zeros(len(known), dtype=np.bool_) if gathers is None else gathers,
        )

    def parts(self, some: slice) -> StepParts:
        """The parts of the step under some of the ways, with a leading axis for the way."""
        here, rings = self.sends[some, None], self.rings[some]
        base, slow = self.base, self.slow

        def slowed(
            where: NDArray[np.bool_], usual: NDArray[np.float64], slow: NDArray[np.float64]
        ) -> NDArray[np.float64]:
            return np.where(where, np.maximum(usual, slow), usual)

        return replace(
            base,
            sends=replace(
                base.sends,
                forward_s=slowed(here, base.sends.forward_s, slow.sends.forward_s),
                backward_s=slowed(here, base.sends.backward_s, slow.sends.backward_s),
            ),
            reduction_s=slowed(rings, base.reduction_s, slow.reduction_s),
            stage_gathers_s=slowed(
                rings & self.gathers[:, None], base.stage_gathers_s, slow.stage_gathers_s
            ),
            tied_reduction_s=slowed(
                self.tied[some, None], base.tied_reduction_s, slow.tied_reduction_s
            ),
        )

    def seconds(self, each: Callable[[StepParts], NDArray[np.float64]]) -> NDArray[np.float64]:
        """[N]: what `each`, [R, N], bounds for every placement; 0 where nothing is known."""
        step = max(1, _ELEMENTS // max(1, self.base.passes.forward_s.size))
        found = [
            each(self.parts(slice(first, first + step))) for first in range(0, len(self), step)
        ]
        if not found:
            return np.zeros(len(self.known))
        ranked = np.sort(np.concatenate(found), axis=0)
        place = np.minimum(self.least, len(ranked)) - 1
        seconds: NDArray[np.float64] = np.take_along_axis(ranked, place[None], axis=0)[0]
        return np.where(self.known, seconds, 0.0)


def forced_ways(
    scenario: Scenario, table: CostTable, batch: Batch, parts: StepParts
) -> Iterator[Ways]:
    """`scenario`, `table` and `parts` belong to the ideal topology."""
    topology = scenario.topology
    if not isinstance(topology, IdealTopology) or batch.kind.parameter_copies > 1:
        return
    if len(topology.real_devices) > 1 or topology.nodes == 1:
        return
    for row_stages, columns, plans in grids(topology, batch):
        forced = topology.forced_hop
        if slower(forced, topology.slowest_hop(2)):
            slow = _slow_parts(scenario, forced, table, batch)
            sends, rings = _in_rows(scenario, batch, row_stages)
            each = columns * topology.kind.domain_nodes
            rows = -(-topology.nodes_forced // each)
            gathers = gathers_on_rings(batch)
            base, slow = _with_slow_layers(
                scenario, scenario.slowed(forced), table, batch, parts, slow
            )
            yield Ways.of(plans, base, slow, sends, least=rows, rings=rings, gathers=gathers)
        each = topology.kind.domain_nodes
        link = topology.forest_hop(columns * each) if row_stages == 1 or each == 1 else None
        if link is not None and slower(link, topology.slowest_hop(2)):
            slow = _slow_parts(scenario, link, table, batch)
            yield Ways.of(plans, parts, slow, _at_boundaries(batch, row_stages))


def _slow_parts(scenario: Scenario, hop: Hop, table: CostTable, batch: Batch) -> StepParts:
    """The parts of the step where every hop between domains is this one."""
    slow = step_parts(scenario.slowed(hop), table, batch)
    return replace(slow, sends=slow_sends(scenario, hop, table, batch))


def _in_rows(
    scenario: Scenario, batch: Batch, row_stages: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Sends and rings that are slow with a slow node in every row of units in turn."""
    row = batch.placement.stage_of // row_stages
    at = np.arange(batch.pipeline // row_stages)[:, None]
    sends = (row[:-1] != row[1:]) & ((row[:-1] == at) | (row[1:] == at))
    rings = (rings_slow(scenario, batch) & (row_stages == 1))[:, None]
    return sends, rings & (at == np.arange(batch.pipeline))[:, None]


def _with_slow_layers(
    ideal: Scenario,
    slowed: Scenario,
    table: CostTable,
    batch: Batch,
    parts: StepParts,
    slow: StepParts,
) -> tuple[StepParts, StepParts]:
    """The parts of the step on the best links, `parts`, and on slow ones, `slow`, with the passes
    of plans whose layers communicate between nodes priced on the slowed topology. What is reduced
    and gathered beside a longer pass has more time to hide in, on whatever links it is."""
    layers = SlowLayers.of(ideal, slowed, table, batch)
    if layers is None:
        return parts, slow
    leaves, slow_table = layers.leaves, layers.table
    priced = replace(batch, row=layers.row)
    here = step_parts(slowed, slow_table, priced)

    def slower(usual: NDArray[np.float64], slow: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(leaves[:, None, None], np.maximum(usual, slow), usual)

    passes = replace(
        parts.passes,
        forward_s=slower(parts.passes.forward_s, here.passes.forward_s),
        backward_s=slower(parts.passes.backward_s, here.passes.backward_s),
    )
    jitter_s = np.where(leaves, np.maximum(parts.jitter_s, here.jitter_s), parts.jitter_s)
    base = _with_exposed(parts, step_parts(ideal, slow_table, priced), leaves)
    return replace(base, passes=passes, jitter_s=jitter_s), _with_exposed(slow, here, leaves)


def _with_exposed(usual: StepParts, other: StepParts, where: NDArray[np.bool_]) -> StepParts:
    """With what other passes leave exposed of reductions and gathers, for some plans, [N]."""
    of_stages = where[:, None]
    return replace(
        usual,
        reduction_s=np.where(of_stages, other.reduction_s, usual.reduction_s),
        stage_gathers_s=np.where(of_stages, other.stage_gathers_s, usual.stage_gathers_s),
    )


def _at_boundaries(batch: Batch, row_stages: int) -> NDArray[np.bool_]:
    """Sends that are slow at every boundary between rows in turn."""
    row = batch.placement.stage_of // row_stages
    above, below = row[:-1], row[1:]
    at = np.arange(batch.pipeline // row_stages - 1)[:, None]
    return np.asarray((np.minimum(above, below) == at) & (np.abs(above - below) == 1))
