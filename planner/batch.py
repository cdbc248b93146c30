"""Many plans at once: N combinations that share pipeline degree, schedule and stage layout.

The search prices its whole space in such batches; the estimate of one plan is a batch of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.plan import DATA_SHARDINGS, GRANULARITIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.workload.stages import StageLoad

NONE, SELECTIVE, FULL = range(len(GRANULARITIES))
"""Codes of the recompute granularities in `Batch.granularity`."""

UNSHARDED, OPTIMIZER, OPTIMIZER_AND_GRADIENTS, FULLY = range(len(DATA_SHARDINGS))
"""Codes of the data shardings in `Batch.data_sharding`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """All arrays are int64 of length N. `row` points into the cost table; `recomputed_layers` is
    per chunk and counts only under full granularity."""

    pipeline: int
    virtual_stages: int
    schedule: str
    load: StageLoad
    row: NDArray[np.int64]
    tensor: NDArray[np.int64]
    data: NDArray[np.int64]
    context: NDArray[np.int64]
    expert: NDArray[np.int64]
    expert_tensor: NDArray[np.int64]
    num_microbatches: NDArray[np.int64]
    granularity: NDArray[np.int64]
    recomputed_layers: NDArray[np.int64]
    data_sharding: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row)

    @property
    def dense_replicas(self) -> NDArray[np.int64]:
        """Devices that share one copy of the dense parameters' gradients: data · context."""
        return self.data * self.context

    @property
    def expert_replicas(self) -> NDArray[np.int64]:
        """The same for experts: data · context · tensor / (expert · expert_tensor)."""
        return self.data * self.context * self.tensor // (self.expert * self.expert_tensor)

    @property
    def fully_recomputed(self) -> NDArray[np.int64]:
        """Recomputed layers per chunk, 0 unless the granularity is full."""
        return np.where(self.granularity == FULL, self.recomputed_layers, 0)
