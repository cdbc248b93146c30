"""Quick lower bounds on the step: every stage by itself, its work for all microbatches, and what
must be computed elsewhere before its first pass and after its last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import distinct
from planner.training.batch import FULL, SELECTIVE, Batch
from planner.training.costs import all_causes_s
from planner.training.memory.sharding import reduced_every_microbatch
from planner.training.search.bounding.fitting import shape_of
from planner.training.search.layouts.bound import jitter_share, other_layouts_s
from planner.training.search.layouts.problem import kept_layout
from planner.training.step.parts import jitter_bound_s
from planner.workload.layers import layer_kinds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.shared_layouts import SharedLayout

BELOW = 1 - 1e-9
"""Bounds are scaled by this, so that rounding cannot lift a bound above the time it bounds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeastWork:
    """Seconds of one microbatch at the speed of the fastest device type: a layer's forward, [N, K],
    all passes of a layer, [N, K], and all passes of a stage, [N, p]. Under full recomputation,
    `replayed` layers per chunk are recomputed. `paired` [N]: passes are priced as if each ran
    beside one of another microbatch."""

    forward_s: NDArray[np.float64]
    layer_s: NDArray[np.float64]
    stage_s: NDArray[np.float64]
    paired: NDArray[np.bool_]

    @classmethod
    def of(cls, table: CostTable, batch: Batch, replayed: NDArray[np.int64]) -> LeastWork:
        forward_s = all_causes_s(table.forward_s, batch.row).min(axis=0)
        layer_s = forward_s + all_causes_s(table.backward_s, batch.row).min(axis=0)
        selective = batch.granularity == SELECTIVE
        if selective.any():
            layer_s[selective] += table.selective_s.min(axis=0)[batch.row[selective]]
        stage_s = layer_s @ batch.load.counts.sum(axis=1).T.astype(np.float64)
        full = batch.granularity == FULL
        for layers in distinct(replayed[full]):
            plans = full & (replayed == layers)
            leading = batch.load.leading[layers].sum(axis=1).T.astype(np.float64)
            stage_s[plans] += forward_s[plans] @ leading
        return cls(
            forward_s=forward_s,
            layer_s=layer_s,
            stage_s=stage_s,
            paired=table.overlapped[batch.row],
        )


def quick_bound_s(scenario: Scenario, batch: Batch, work: LeastWork) -> NDArray[np.float64]:
    """[N]: lower bound in seconds on the schedule. A stage waits for a forward through the stages
    before it, and for a backward through them where backwards are whole and chunks are placed in a
    loop."""
    kind, first_chunks = batch.kind, batch.pass_counts[:, 0]
    elsewhere = np.cumsum(first_chunks, axis=0) - first_chunks
    work_s = work.stage_s * batch.chunk_microbatches[:, None]
    waits = work.layer_s if kind.returns_to_first else work.forward_s
    waiting_s = waits @ elsewhere.T.astype(np.float64) * (kind.parameter_copies == 1)
    seconds = (work_s + waiting_s).max(axis=-1) + scenario.job.software.step_overhead.value
    longer = work.paired | reduced_every_microbatch(scenario.job.software, batch)
    longer |= batch.offloads or kind.shares_vocabulary
    seconds += jitter_bound_s(scenario, batch, work_s, longer=longer)
    bound_s: NDArray[np.float64] = BELOW * seconds
    return bound_s


def others_bound_s(
    scenario: Scenario,
    batch: Batch,
    work: LeastWork,
    layout: SharedLayout,
    reduction_s: NDArray[np.float64],
) -> NDArray[np.float64]:
    """[N]: lower bound in seconds on every other stage layout of the space; infinite where there is
    none."""
    if not layout.chosen or kept_layout(scenario, *shape_of(batch)) is not None:
        return np.full(len(batch), np.inf)
    column = {kind: index for index, kind in enumerate(scenario.kinds)}
    kinds = [column[kind] for kind in layer_kinds(scenario.model)]
    pipeline_s = other_layouts_s(
        batch, layout.stages, kinds, work.forward_s, work.layer_s, work.stage_s, reduction_s
    )
    average_s = batch.num_microbatches * (
        work.layer_s @ batch.load.counts.sum(axis=(0, 1)) / batch.pipeline
    )
    seconds = pipeline_s + jitter_share(scenario, batch.pipeline) * average_s
    bound_s: NDArray[np.float64] = BELOW * (seconds + scenario.job.software.step_overhead.value)
    return bound_s
