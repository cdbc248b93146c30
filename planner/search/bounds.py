"""Lower bounds of time and exact fit in memory, for whole groups of combinations at once.

Two bounds of the time, each below the simulated step. The quick one looks at every stage alone:
its work for all microbatches, what must be computed elsewhere before its first pass and after its
last. The tight one (`planner.timing.step.StepParts.lower_bound_s`) adds sends, reductions and the
optimizer. Memory is not bounded but computed: of full recomputation with the most layers, which
takes the least memory; how few layers do is solved only for combinations that are refined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.batch import FULL, SELECTIVE, Batch
from planner.memory.stage import stage_peaks
from planner.search.batches import ELEMENTS, make_batch
from planner.search.placement.bound import placement_bound_s
from planner.timing.step import jitter_s, step_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from planner.costs import CostTable
    from planner.plan import Stage
    from planner.scenario import Scenario
    from planner.search.screen import Screened
    from planner.search.space import Group
    from planner.workload.stages import StageLoad

BELOW = 1 - 1e-9
"""Bounds are scaled by this, so that rounding cannot lift one above the time it bounds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """A stage layout with its load, shared by all groups of (pipeline, virtual stages)."""

    stages: tuple[Stage, ...]
    load: StageLoad


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitting:
    """Combinations of one group that fit in memory, with the quick bound of their time."""

    screened: Screened
    virtual_stages: int
    schedule: str
    layout: Layout
    grid_row: NDArray[np.int32]
    recompute: NDArray[np.int8]
    data_sharding: NDArray[np.int8]
    bound_s: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.grid_row)

    @classmethod
    def of(
        cls,
        screened: Screened,
        group: Group,
        layout: Layout,
        rows: NDArray[np.int64],
        bound_s: NDArray[np.float64],
    ) -> Fitting:
        """The given rows of a group."""
        return cls(
            screened=screened,
            virtual_stages=group.virtual_stages,
            schedule=group.schedule,
            layout=layout,
            grid_row=group.grid_row[rows].astype(np.int32),
            recompute=group.recompute[rows].astype(np.int8),
            data_sharding=group.data_sharding[rows].astype(np.int8),
            bound_s=bound_s,
        )


def batch_of(
    scenario: Scenario,
    fitting: Fitting,
    which: NDArray[np.int64],
    recomputed_layers: NDArray[np.int64],
) -> Batch:
    """Some combinations of a group as a batch."""
    return make_batch(
        fitting.screened.columns,
        global_batch_size=scenario.job.global_batch_size,
        pipeline=fitting.screened.pipeline,
        virtual_stages=fitting.virtual_stages,
        schedule=fitting.schedule,
        load=fitting.layout.load,
        grid_row=fitting.grid_row[which].astype(np.int64),
        recompute=fitting.recompute[which].astype(np.int64),
        recomputed_layers=recomputed_layers,
        data_sharding=fitting.data_sharding[which].astype(np.int64),
    )


def bound_group(
    scenario: Scenario,
    table: CostTable,
    screened: Screened,
    group: Group,
    layout: Layout,
    alive: NDArray[np.bool_],
) -> Fitting:
    """The combinations of a group that fit. `alive` is the screen's verdict on each."""
    load = layout.load
    rows = np.flatnonzero(alive)
    fits, bounds = [], []
    for part in pieces(rows, group.pipeline):
        batch = make_batch(
            screened.columns,
            global_batch_size=scenario.job.global_batch_size,
            pipeline=group.pipeline,
            virtual_stages=group.virtual_stages,
            schedule=group.schedule,
            load=load,
            grid_row=group.grid_row[part],
            recompute=group.recompute[part],
            recomputed_layers=np.full(len(part), load.most_layers),
            data_sharding=group.data_sharding[part],
        )
        kept = stage_peaks(scenario, table, batch).fits
        fits.append(part[kept])
        bounds.append(quick_bound_s(scenario, table, batch)[kept])
    return Fitting.of(
        screened,
        group,
        layout,
        np.concatenate(fits) if fits else rows,
        np.concatenate(bounds) if bounds else np.zeros(0),
    )


def quick_bound_s(scenario: Scenario, table: CostTable, batch: Batch) -> NDArray[np.float64]:
    """[N]: seconds that the schedule cannot beat. Where layers are recomputed in full, one per
    chunk is. What is waited for outside a stage is a forward through the stages before it, and a
    backward where backwards are whole and chunks in a loop."""
    kind = batch.kind
    layer_forward_s = table.forward_s.sum(axis=0).min(axis=0)
    layer_s = layer_forward_s + table.backward_s.sum(axis=0).min(axis=0)
    seconds = layer_s[batch.row]
    selective = batch.granularity == SELECTIVE
    if selective.any():
        seconds[selective] += table.selective_s.min(axis=0)[batch.row[selective]]
    held, first_chunks = batch.load.counts.sum(axis=1), batch.pass_counts[:, 0]
    elsewhere = np.cumsum(first_chunks, axis=0) - first_chunks
    work_s = seconds @ held.T.astype(np.float64)
    full = batch.granularity == FULL
    if full.any():
        replayed = batch.load.leading[1].sum(axis=1).T.astype(np.float64)
        work_s[full] += layer_forward_s[batch.row[full]] @ replayed
    work_s *= batch.chunk_microbatches[:, None]
    waits = seconds if kind.returns_to_first else layer_forward_s[batch.row]
    waiting_s = waits @ elsewhere.T.astype(np.float64) * (kind.parameter_copies == 1)
    pipeline_s = (work_s + waiting_s).max(axis=-1) + jitter_s(scenario, work_s)
    bound_s: NDArray[np.float64] = BELOW * (pipeline_s + scenario.job.software.step_overhead.value)
    return bound_s


def tight_bound_s(
    scenario: Scenario, table: CostTable, fitting: Fitting, which: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Tight bounds of some combinations of a group, and the fully recomputed layers per chunk
    that they are for: the fewest that fit."""
    layers = fewest_recomputed(scenario, table, fitting, which)
    bounds = []
    for part in pieces(np.arange(len(which)), fitting.screened.pipeline * fitting.virtual_stages):
        batch = batch_of(scenario, fitting, which[part], layers[part])
        parts = step_parts(scenario, table, batch)
        anywhere_s = placement_bound_s(scenario, table, batch, parts)
        bounds.append(np.maximum(parts.lower_bound_s(), anywhere_s))
    return BELOW * np.concatenate(bounds), layers


def fewest_recomputed(
    scenario: Scenario, table: CostTable, fitting: Fitting, which: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The smallest number of recomputed layers per chunk with which each combination fits, 0
    without full recomputation. Time rises with it and memory falls, so bisection finds it."""
    most = fitting.layout.load.most_layers
    full = fitting.recompute[which] == FULL
    low = np.where(full, 1, 0)
    high = np.where(full, most, 0)
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low[open_] + high[open_]) // 2
        for part in pieces(np.arange(len(open_)), fitting.screened.pipeline):
            at = open_[part]
            batch = batch_of(scenario, fitting, which[at], middle[part])
            fits = stage_peaks(scenario, table, batch).fits
            high[at] = np.where(fits, middle[part], high[at])
            low[at] = np.where(fits, low[at], middle[part] + 1)
    return high


def pieces(rows: NDArray[np.int64], width: int) -> Iterator[NDArray[np.int64]]:
    """Rows in pieces of at most `ELEMENTS` elements of `width` each."""
    step = max(ELEMENTS // width, 1)
    for first in range(0, len(rows), step):
        yield rows[first : first + step]
