"""What shards that one search priced take at least in a job on fewer devices.

Layers take as long there, and no less is computed: the average stage does the whole model's layers
for its share of the batch. So most shards of a smaller job are ruled out before they are priced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.layouts.bound import jitter_share
from planner.workload.layers import layer_kinds

if TYPE_CHECKING:
    from planner.arrays import Bools, Floats
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.tables import GrowingTable
    from planner.training.search.space.enumeration import AxisGrid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownShards:
    """Shards that take less than `below_s` may be worth pricing. `device_s` [R]: device-seconds of
    one sequence's passes through all layers, by row of `priced`; an infinite one last, for shards
    without a row."""

    priced: GrowingTable
    device_s: Floats
    below_s: float

    @classmethod
    def of(cls, scenario: Scenario, priced: GrowingTable, below_s: float) -> KnownShards:
        """From the table of a search of the ideal `scenario`. Raises: OutOfTime."""
        table = priced.table
        layers = layer_kinds(scenario.model)
        counts = np.array([layers.count(kind) for kind in scenario.kinds], dtype=np.float64)
        passes_s = (table.forward_s + table.backward_s).sum(axis=0).min(axis=0)
        devices, sequences = (
            np.array(numbers, dtype=np.float64)
            for numbers in (
                [shard.tensor * shard.context for shard in table.shards],
                [shard.micro_batch_size for shard in table.shards],
            )
        )
        device_s = passes_s @ counts * devices / sequences
        return cls(priced=priced, device_s=np.append(device_s, np.inf), below_s=below_s)

    def least_s(self, scenario: Scenario) -> float:
        """Seconds that no step of a job takes less than with one of these shards."""
        job = scenario.job
        return float(self.device_s.min()) * job.global_batch_size / job.devices

    def worth_pricing(self, scenario: Scenario, grid: AxisGrid) -> Bools:
        """[rows]: which combinations of a grid may take less than `below_s`."""
        job = scenario.job
        average_s = self.device_s[self.priced.known_rows(grid.columns)]
        average_s = average_s * job.global_batch_size / job.devices
        return np.asarray(average_s * (1 + jitter_share(scenario, grid.pipeline)) < self.below_s)
