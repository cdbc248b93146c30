"""The memory screen: which combinations cannot fit, whatever their virtual stages and schedule.

A stage holds at least the fewest layers that any layout that combinations start with gives it; what
then does not fit may still fit with layers moved elsewhere. Of all schedules
that place chunks in a loop, 1F1B keeps the fewest activations: p − s microbatches in flight on
stage s for every layer, where interleaving keeps at least as many for every chunk. Where the space
has other schedules, every stage keeps at least one microbatch. The memory of that smallest load
bounds every combination with the same degrees from below, so what does not fit here fits nowhere.

Memory also never falls when the micro-batch grows by a whole factor, because as many tokens stay in
flight. So a combination is priced only when no divisor of its micro-batch size was found not to
fit. The embedding's dense gradient is left out: a larger micro-batch freed before it leaves it more
room.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.schedule.passes import looped
from planner.schedule.registry import PLAIN, SCHEDULES
from planner.training.batch import FULL, OUTER_KINDS
from planner.training.memory.stage import stage_peaks
from planner.training.search.bounding.batches import ELEMENTS, make_batch
from planner.training.search.bounding.dispatchers import beaten
from planner.training.search.bounding.elsewhere import may_fit_elsewhere
from planner.training.search.bounding.twins import twins_of
from planner.training.search.mixed.speeds import is_mixed
from planner.training.search.space.codes import SCHEDULE_NAMES
from planner.training.search.space.enumeration import GRID_AXES, SLOWER_DISPATCHER, VARIANT_AXES
from planner.workload.stages import StageLoad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.known_shards import KnownShards
    from planner.training.search.bounding.tables import GrowingTable
    from planner.training.search.space.enumeration import AxisGrid, Block, Columns, Enumeration

FAMILY_AXES = (
    "tensor",
    "context",
    "data",
    "expert",
    "expert_tensor",
    "expert_overlap",
    "dispatch_pieces",
    "sequence_parallel",
)
"""Combinations that agree in these axes form a family. What does not fit in a family excludes
larger micro-batches of the same family. Memory does not depend on the dispatcher."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Screened:
    """A grid after the screen. `columns` gain `row`, the cost table's row (−1 where it was never
    priced). `alive` [rows, *variants]: what may fit, by position in the values of `VARIANT_AXES`.
    """

    grid: AxisGrid
    columns: Columns
    alive: NDArray[np.bool_]

    @property
    def pipeline(self) -> int:
        return self.grid.pipeline

    def alive_in(self, group: Block, enumeration: Enumeration) -> NDArray[np.bool_]:
        """The verdict on every combination of a group of the grid."""
        places = tuple(
            np.searchsorted(enumeration.values[axis], codes)
            for axis, codes in group.variants.items()
        )
        verdict: NDArray[np.bool_] = self.alive[(group.grid_row, *places)]
        return verdict


def screen(
    scenario: Scenario,
    enumeration: Enumeration,
    grids: Sequence[AxisGrid],
    loads: Sequence[Sequence[StageLoad]],
    growing: GrowingTable,
    *,
    trusting: bool = False,
    links_differ: bool = False,
    known: KnownShards | None = None,
    budget: Budget = UNLIMITED,
) -> list[Screened]:
    """Screen all grids, small micro-batches first. `loads` are those that the combinations of each
    grid may have. `trusting` lets every combination pass; `known` tells which shards are worth
    pricing. Where `links_differ` from those of the scenario, dispatchers are compared on any.
    Raises: OutOfTime."""
    waves = [
        _Waves(scenario, enumeration, grid, of_grid, trusting, links_differ, known, budget)
        for grid, of_grid in zip(grids, loads, strict=True)
    ]
    sizes = {size for grid in grids for size in grid.columns["micro_batch_size"].tolist()}
    for micro_batch_size in sorted(sizes):
        for wave in waves:
            wave.price(micro_batch_size, growing)
        for wave in waves:
            wave.judge(micro_batch_size, growing)
    return [wave.result() for wave in waves]


class _Waves:
    """One grid, screened one micro-batch size after another."""

    def __init__(
        self,
        scenario: Scenario,
        enumeration: Enumeration,
        grid: AxisGrid,
        loads: Sequence[StageLoad],
        trusting: bool,
        links_differ: bool,
        known: KnownShards | None,
        budget: Budget,
    ) -> None:
        self._scenario, self._budget = scenario, budget
        self._enumeration, self._grid = enumeration, grid
        self._links_differ = links_differ
        self._load = smallest_load(loads)
        self._codes = [np.array(enumeration.values[axis]) for axis in VARIANT_AXES]
        self._row = np.full(len(grid.columns["tensor"]), -1, dtype=np.int64)
        self._alive = np.ones((len(self._row), *map(len, self._codes)), dtype=np.bool_)
        self._trusting = trusting
        free = scenario.job.software.pipeline_layout and grid.pipeline > 1
        self._divisible = free and not is_mixed(scenario)
        self._wanted = np.ones(len(self._row), dtype=np.bool_)
        if known is not None:
            self._wanted = known.worth_pricing(scenario, grid)
            self._alive[~self._wanted] = False
        kinds = [SCHEDULES[SCHEDULE_NAMES[code]] for code in enumeration.values["schedule"]]
        self._looped = all(kind.placement is looped for kind in kinds)
        self._shared_row = self._row.copy()
        self._shares_vocabulary = any(kind.shares_vocabulary for kind in kinds)
        families = np.stack([grid.columns[axis] for axis in FAMILY_AXES])
        _, family = np.unique(families, axis=1, return_inverse=True)
        self._family = family.reshape(-1)
        self._beaten = np.zeros(len(self._row), dtype=np.bool_)
        self._found: dict[int, NDArray[np.bool_]] = {}

    def price(self, micro_batch_size: int, growing: GrowingTable) -> None:
        """Price the rows of a micro-batch size that smaller sizes did not exclude."""
        self._budget.check()
        rows = self._rows_of(micro_batch_size)
        for smaller, found in self._found.items():
            if micro_batch_size % smaller == 0:
                self._alive[rows] &= found[self._family[rows]]
        self._compare_dispatchers(rows, growing)
        rows = rows[~self._beaten[rows]]
        wanted = rows[self._alive[rows].any(axis=tuple(range(1, self._alive.ndim)))]
        if wanted.size:
            self._row[wanted] = growing.rows(self._grid.columns, wanted)
        if wanted.size and self._shares_vocabulary:
            self._shared_row[wanted] = growing.rows(
                self._grid.columns, wanted, vocabulary=self._grid.pipeline
            )

    def judge(self, micro_batch_size: int, growing: GrowingTable) -> None:
        """Find out which of the priced rows cannot fit."""
        rows = self._rows_of(micro_batch_size)
        if not rows.size:
            return
        rows = rows[~self._beaten[rows]]
        at = np.nonzero(self._alive[rows])
        place = (rows[at[0]], *at[1:])
        if place[0].size and not self._trusting:
            self._alive[place] = self._fits(place, growing.table)
        found = np.ones((self._family.max() + 1, *self._alive.shape[1:]), dtype=np.bool_)
        found[self._family[rows]] = self._alive[rows]
        self._found[micro_batch_size] = found

    def _compare_dispatchers(self, rows: NDArray[np.intp], growing: GrowingTable) -> None:
        """Find out which rows another dispatcher beats. Where none may fit, the first stays."""
        dispatchers = self._grid.columns["dispatcher"]
        if len(self._enumeration.values["dispatcher"]) == 1:
            return
        sent = rows[self._grid.columns["expert"][rows] > 1]
        alive = self._alive[sent].any(axis=tuple(range(1, self._alive.ndim)))
        lost, priced = sent[~alive], sent[alive]
        _, first = np.unique(self._family[lost], return_index=True)
        self._beaten[np.delete(lost, first)] = True
        if priced.size:
            self._beaten[priced] = beaten(
                self._scenario.job.software.expert,
                growing.mixture_passes_s(self._grid.columns, priced),
                self._family[priced],
                dispatchers[priced],
                on_any_links=self._links_differ,
            )

    def _rows_of(self, micro_batch_size: int) -> NDArray[np.intp]:
        """The wanted rows of a micro-batch size."""
        sizes = self._grid.columns["micro_batch_size"]
        return np.flatnonzero((sizes == micro_batch_size) & self._wanted)

    def _fits(self, place: tuple[NDArray[np.intp], ...], table: CostTable) -> NDArray[np.bool_]:
        grid_row, *positions = place
        step = max(ELEMENTS // self._grid.pipeline, 1)
        fits = np.empty(len(grid_row), dtype=np.bool_)
        for first in range(0, len(grid_row), step):
            self._budget.check()
            part = slice(first, first + step)
            batch = make_batch(
                self._scenario,
                self._columns,
                {
                    axis: codes[at[part]]
                    for axis, codes, at in zip(VARIANT_AXES, self._codes, positions, strict=True)
                },
                pipeline=self._grid.pipeline,
                virtual_stages=1,
                schedule=PLAIN,
                load=self._load,
                grid_row=grid_row[part],
                recomputed_layers=np.ones(len(grid_row[part]), dtype=np.int64),
            )
            if not self._looped:
                batch = replace(batch, num_microbatches=np.ones_like(batch.num_microbatches))
            peaks = stage_peaks(self._scenario, table, batch, dense_gradients=False)
            relief = np.where(batch.granularity == FULL, self._replay_range(table, batch.row), 0)
            spare = peaks.spare + relief[:, None]
            fits[part] = (spare >= 0).all(axis=-1)
            lacking = np.flatnonzero(~fits[part])
            if self._divisible and lacking.size:
                fits[part][lacking] = may_fit_elsewhere(
                    self._scenario,
                    table,
                    batch.some(lacking),
                    spare[lacking],
                    peaks.buffers[lacking],
                )
        return fits

    def _replay_range(self, table: CostTable, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of N rows, [N]: how many fewer bytes than under the smallest load may be restored at once
        when only layers of the smallest kind are recomputed, allocator slack included."""
        dropped = (table.saved_bytes[rows] - table.full_bytes[rows])[:, :-OUTER_KINDS]
        slack = 1 + self._scenario.job.software.slack
        range_bytes = dropped.max(axis=1) - dropped.min(axis=1)
        spread = np.ceil(range_bytes * slack).astype(np.int64)
        return np.where(spread > 0, spread + 1, 0)

    def result(self) -> Screened:
        """Without the rows that another dispatcher beats."""
        kept = ~self._beaten
        if not kept.all():
            self._enumeration.leave_out(
                SLOWER_DISPATCHER, int(self._beaten.sum()), after=GRID_AXES[-1]
            )
        columns = {
            name: column if name == "pipeline" else column[kept]
            for name, column in self._grid.columns.items()
        }
        return Screened(
            grid=replace(self._grid, columns=columns),
            columns={
                **columns,
                "row": self._row[kept],
                "shared_row": self._shared_row[kept],
                "twin": twins_of(columns, self._scenario.job.software.expert),
            },
            alive=self._alive[kept],
        )

    @property
    def _columns(self) -> Columns:
        return {**self._grid.columns, "row": self._row, "shared_row": self._shared_row}


def smallest_load(loads: Sequence[StageLoad]) -> StageLoad:
    """Every stage with the fewest layers of each kind that any of the loads gives it, in one chunk.
    Either all of these layers are recomputed at once or none."""
    counts = np.minimum.reduce([load.of_stages for load in loads])[:, None]
    leading = np.stack([np.zeros_like(counts), counts])
    leading[..., -OUTER_KINDS:] = 0
    return StageLoad(counts=counts, leading=leading)
