"""Pipeline sends: activations forward and their gradients back, across every stage boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.hardware.collectives import all_gather_s, send_s

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.batch import Batch
    from planner.costs import CostTable
    from planner.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sends:
    """Seconds per microbatch across boundary k, between virtual stages k and k + 1 in the order
    they are visited: [N, p·v − 1] each way. A blocking send holds the sender's stage."""

    forward_s: NDArray[np.float64]
    backward_s: NDArray[np.float64]
    blocking: bool


def boundary_sends(scenario: Scenario, table: CostTable, batch: Batch) -> Sends:
    """One residual activation per microbatch. Under sequence parallelism every tensor rank sends
    its share; without it the scatter-gather optimisation does the same and gathers again on
    arrival (Narayanan et al. 2021, section 4.1); without either every rank sends all of it."""
    p, v = batch.pipeline, batch.virtual_stages
    blocking = "pipeline" not in scenario.job.software.overlap
    if p == 1:
        none = np.zeros((len(batch), v - 1))
        return Sends(forward_s=none, backward_s=none, blocking=blocking)
    rows, inverse = np.unique(batch.row, return_inverse=True)
    forward = np.array([_from_each_stage(scenario, table, int(row), p) for row in rows])
    backward = np.array([_from_each_stage(scenario, table, int(row), p, -1) for row in rows])
    hops = np.arange(p * v - 1) % p
    return Sends(
        forward_s=forward[inverse][:, hops],
        backward_s=backward[inverse][:, (hops + 1) % p],
        blocking=blocking,
    )


def _from_each_stage(
    scenario: Scenario, table: CostTable, row: int, pipeline: int, direction: int = 1
) -> list[float]:
    """Seconds of the send from each stage to the next one (or the one before), wrapping around."""
    shard, size = table.shards[row], int(table.residual_bytes[row])
    gather_s = 0.0
    if (
        shard.tensor > 1
        and not shard.sequence_parallel
        and (scenario.job.software.scatter_gather_sends)
    ):
        gather_s = all_gather_s(scenario.topology.group(shard.tensor, 1), size)
        size //= shard.tensor
    return [
        send_s(scenario.topology.boundary(pipeline, stage, (stage + direction) % pipeline), size)
        + gather_s
        for stage in range(pipeline)
    ]
