"""A combination whose stages may have any of several device types."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import OUTER_KINDS
from planner.training.search.layouts.problem import problem_of
from planner.training.search.mixed.chunk_rooms import ChunkRooms
from planner.training.search.mixed.rooms import MemoryLines, Rooms
from planner.training.search.mixed.speeds import layer_columns
from planner.workload.layers import layer_kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats, Ints
    from planner.plan import Plan
    from planner.stage_layout.problem import LayoutProblem
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


@dataclass(frozen=True, kw_only=True, eq=False)
class TypedCombination:
    """A combination as its plan with the default layout; `batches`, `tables` and `problems` by
    device type, of the job on that type alone."""

    ideal: Scenario
    plan: Plan
    batch: Batch
    table: CostTable
    scenarios: tuple[Scenario, ...]
    tables: tuple[CostTable, ...]
    problems: tuple[LayoutProblem, ...]
    slowest_first: tuple[int, ...]
    """The device types, slowest first."""
    free: bool
    """Whether another layout may be chosen."""

    @classmethod
    def of(
        cls,
        ideal: Scenario,
        plan: Plan,
        table: CostTable,
        batch: Batch,
        tables: Sequence[CostTable],
        *,
        free: bool,
    ) -> TypedCombination:
        """`table` and `batch` are of the ideal scenario; `tables` have one row, the plan's."""
        alone = replace(batch, row=np.zeros(1, dtype=np.int64))
        seconds = [float((one.forward_s + one.backward_s).sum()) for one in tables]
        order = sorted(range(len(tables)), key=lambda t: (-seconds[t], t))
        return cls(
            ideal=ideal,
            plan=plan,
            batch=batch,
            table=table,
            scenarios=ideal.by_type,
            tables=tuple(tables),
            problems=tuple(
                problem_of(one, of_type, alone, plan)
                for one, of_type in zip(ideal.by_type, tables, strict=True)
            ),
            slowest_first=tuple(order),
            free=free,
        )

    @cached_property
    def rooms(self) -> Rooms:
        """How many layers its stages may hold on every type."""
        return Rooms.of(self._lines, np.arange(len(self.scenarios))[None])

    @cached_property
    def chunk_rooms(self) -> ChunkRooms:
        """Which divisions of layers over chunks its stages may hold."""
        return ChunkRooms.of(self._lines)

    @cached_property
    def _lines(self) -> MemoryLines:
        return MemoryLines(scenario=self.ideal, table=self.table, batch=self.batch)

    @cached_property
    def held_bytes(self) -> dict[tuple[bytes, int], Floats]:
        """What `splits.held_bytes` has found, by its layers and how many are recomputed."""
        return {}

    @cached_property
    def layer_columns(self) -> list[int]:
        """The kind of every layer. Those of a layout that is kept are not told apart, and those
        that the pipeline holds twice count twice."""
        if not self.free:
            return [0] * int(self.kept_layers.sum())
        column = {kind: index for index, kind in enumerate(self.ideal.kinds)}
        return [column[kind] for kind in layer_kinds(self.ideal.model)]

    @property
    def kept_layers(self) -> Ints:
        """[p]: layers of every stage in the layout of the plan."""
        held = self.batch.load.counts[..., layer_columns(self.ideal)]
        return np.asarray(held.sum(axis=(1, 2)))

    def fewest(self) -> Ints:
        """[p]: layers that every stage has at least: one in every chunk but those with the
        embedding or the head."""
        outer = self.batch.load.counts[..., -OUTER_KINDS:]
        ends = np.minimum(outer.sum(axis=-1), 1).sum(axis=1)
        return np.asarray(np.maximum(self.batch.virtual_stages - ends, 0))

    def most(self, below_s: float) -> int:
        """Layers that no stage can have more of when the step is shorter than that."""
        if not self.free:
            return int(self.kept_layers.max())
        layers = np.array(self.layer_columns)
        least = [(one.forward_s + one.backward_s)[:, layers].min(axis=0) for one in self.problems]
        shortest_s = np.cumsum(np.sort(np.min(least, axis=0)))
        fewest = self.fewest()
        most = len(self.layer_columns) - int(fewest.sum() - fewest.max(initial=0))
        if np.isfinite(below_s):
            within_s = below_s / int(self.batch.chunk_microbatches[0])
            most = min(most, int(np.searchsorted(shortest_s, within_s, side="right")) + 1)
        return max(most, 1)

    @cached_property
    def counts_before(self) -> Ints:
        """[L + 1, K]: layers of every kind before each layer."""
        layers = self.layer_columns
        counts = np.zeros((len(layers) + 1, len(self.ideal.kinds)), dtype=np.int64)
        for position, column in enumerate(layers):
            counts[position + 1 :, column] += 1
        return counts
