"""The cost table of a search: a shard is priced when a combination first needs it."""

from __future__ import annotations

from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.arrays import distinct_rows
from planner.budget import UNLIMITED
from planner.plan import DISPATCHERS
from planner.training.costs import CostTable, cost_table
from planner.training.layer.prices import LayerPrices
from planner.workload.shard import Shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.training.scenario import Scenario
    from planner.training.search.space.enumeration import Columns

SHARD_AXES = (
    "tensor",
    "context",
    "expert",
    "expert_tensor",
    "micro_batch_size",
    "dispatcher",
    "expert_overlap",
    "sequence_parallel",
)
"""Axes that decide the price of a shard, and so its row in the cost table."""
_DISPATCHER = SHARD_AXES.index("dispatcher")

AT_ONCE = 32
"""Shards that are priced between two checks of the budget."""


class GrowingTable:
    """Cost table rows by shard. New shards are priced when the table is next read."""

    def __init__(self, scenario: Scenario, budget: Budget = UNLIMITED) -> None:
        self._scenario, self._budget = scenario, budget
        self._prices = LayerPrices(scenario)
        self._rows: dict[tuple[int, ...], int] = {}
        self._passes: dict[tuple[int, ...], NDArray[np.float64]] = {}
        self._new: list[Shard] = []
        self._parts: list[CostTable] = []

    def rows(
        self, columns: Columns, wanted: NDArray[np.intp], *, vocabulary: int = 1
    ) -> NDArray[np.int64]:
        """Rows of the shards of the `wanted` combinations, with their vocabulary divided among
        `vocabulary` stages."""
        different = _Different.of(columns, wanted)
        rows = np.empty(len(different.shards), dtype=np.int64)
        for place in np.argsort(different.first).tolist():
            rows[place] = self._row((*different.shards[place], vocabulary))
        return rows[different.which]

    def pass_seconds(self, columns: Columns, wanted: NDArray[np.intp]) -> NDArray[np.float64]:
        """[N, F]: of the `wanted` combinations, every pass of every kind of layer with experts on
        every device type. Their shards are not in the table for that."""
        different = _Different.of(columns, wanted)
        new = [shard for shard in different.shards if shard not in self._passes]
        if new:
            priced = [_shard((*shard, 1)) for shard in new]
            seconds = self._prices.pass_seconds(self._with_experts, priced)
            self._passes |= zip(new, seconds, strict=True)
        return np.array([self._passes[shard] for shard in different.shards])[different.which]

    @cached_property
    def _with_experts(self) -> tuple[str, ...]:
        kinds = self._scenario.kinds
        return tuple(kind for kind in kinds if kind.startswith("moe") or kind == "mtp")

    def known_rows(self, columns: Columns) -> NDArray[np.int64]:
        """Rows of the shards of combinations with the whole vocabulary on one stage; −1 of shards
        that were not asked for."""
        different = _Different.of(columns, np.arange(len(columns[SHARD_AXES[0]])))
        rows = [self._rows.get((*shard, 1), -1) for shard in different.shards]
        return np.array(rows, dtype=np.int64)[different.which]

    @property
    def table(self) -> CostTable:
        """The costs of everything asked for so far. Raises: OutOfTime."""
        while self._new:
            self._budget.check()
            self._parts.append(cost_table(self._scenario, self._new[:AT_ONCE], self._prices))
            self._new = self._new[AT_ONCE:]
        if len(self._parts) > 1:
            self._parts = [_join(self._parts)]
        return self._parts[0]

    def _row(self, key: tuple[int, ...]) -> int:
        if key not in self._rows:
            self._rows[key] = len(self._rows)
            self._new.append(_shard(key))
        return self._rows[key]


class _Different(NamedTuple):
    """The different shards, by `SHARD_AXES`, of N combinations: the first combination that has
    each, and the place of the shard of every combination, [N]."""

    shards: list[tuple[int, ...]]
    first: NDArray[np.intp]
    which: NDArray[np.intp]

    @classmethod
    def of(cls, columns: Columns, wanted: NDArray[np.intp]) -> _Different:
        """Those of the `wanted` combinations."""
        shards = np.stack([columns[axis][wanted] for axis in SHARD_AXES]).astype(np.int64)
        shards[-1] &= shards[0] > 1
        shards[_DISPATCHER, columns["expert"][wanted] == 1] = -1
        rows = distinct_rows(shards + 1)
        found = list(map(tuple, shards[:, rows.first].T.tolist()))
        return cls(found, rows.first, rows.which)


def _shard(key: tuple[int, ...]) -> Shard:
    *sizes, dispatcher, overlap, sequence_parallel, vocabulary = key
    return Shard(
        **dict(zip(SHARD_AXES, sizes, strict=False)),
        dispatcher=DISPATCHERS[dispatcher] if dispatcher >= 0 else "",
        expert_overlap=bool(overlap),
        sequence_parallel=bool(sequence_parallel),
        vocabulary=vocabulary,
    )


def _join(parts: list[CostTable]) -> CostTable:
    """Concatenates tables row-wise. Rows are the second-to-last axis, or the only axis of a
    vector."""
    shards = tuple(shard for part in parts for shard in part.shards)
    columns = {}
    for name in (field.name for field in fields(CostTable) if field.name != "shards"):
        arrays = [getattr(part, name) for part in parts]
        columns[name] = np.concatenate(arrays, axis=max(arrays[0].ndim - 2, 0))
    return CostTable(shards=shards, **columns)
