"""The cost table of a search: shards are priced when a combination first needs them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from planner.costs import CostTable, cost_table
from planner.workload.shard import Shard

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planner.scenario import Scenario
    from planner.search.space import Columns

SHARD_AXES = (
    "tensor",
    "context",
    "expert",
    "expert_tensor",
    "micro_batch_size",
    "sequence_parallel",
)


class GrowingTable:
    """Cost table rows by shard. `table` holds all that were priced so far."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._rows: dict[tuple[int, ...], int] = {}
        self._parts: list[CostTable] = []
        self._joined: CostTable | None = None

    def rows(
        self, columns: Columns, wanted: Iterable[int]
    ) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Rows of the shards of the `wanted` combinations, priced now if they are new."""
        shards = np.stack([columns[axis] for axis in SHARD_AXES], axis=-1)[list(wanted)]
        shards[:, -1] &= shards[:, 0] > 1
        keys = [tuple(shard) for shard in shards.tolist()]
        new = list(dict.fromkeys(key for key in keys if key not in self._rows))
        if new:
            self._rows.update({key: len(self._rows) + i for i, key in enumerate(new)})
            self._parts.append(cost_table(self._scenario, [_shard(key) for key in new]))
            self._joined = None
        return np.array([self._rows[key] for key in keys], dtype=np.int64)

    @property
    def table(self) -> CostTable:
        if self._joined is None:
            self._joined = _join(self._parts)
            self._parts = [self._joined]
        return self._joined


def _shard(key: tuple[int, ...]) -> Shard:
    tensor, context, expert, expert_tensor, micro_batch_size, sequence_parallel = key
    return Shard(
        tensor=tensor,
        context=context,
        expert=expert,
        expert_tensor=expert_tensor,
        micro_batch_size=micro_batch_size,
        sequence_parallel=bool(sequence_parallel),
    )


def _join(parts: list[CostTable]) -> CostTable:
    """One table below the other. Rows are the last axis but one, the only one of a vector."""
    if len(parts) == 1:
        return parts[0]
    shards = tuple(shard for part in parts for shard in part.shards)
    columns = {}
    for name in (field.name for field in fields(CostTable) if field.name != "shards"):
        arrays = [getattr(part, name) for part in parts]
        columns[name] = np.concatenate(arrays, axis=max(arrays[0].ndim - 2, 0))
    return CostTable(shards=shards, **columns)
