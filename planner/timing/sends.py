"""Pipeline sends: activations forward and their gradients back, across every stage boundary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from planner.hardware.collectives import all_gather_s, send_s
from planner.schedule.registry import kind_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.batch import Batch
    from planner.costs import CostTable
    from planner.hardware.links import Group, Topology
    from planner.scenario import Scenario
    from planner.schedule.graph import Sends as SendMode
    from planner.specs.software import SoftwareProfile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sends:
    """Seconds per microbatch across boundary k, between virtual stages k and k + 1 in the order
    they are visited: [N, p·v − 1] each way. `mode` says what a send holds up
    (`planner.schedule.simulate`)."""

    forward_s: NDArray[np.float64]
    backward_s: NDArray[np.float64]
    mode: SendMode


def boundary_sends(scenario: Scenario, table: CostTable, batch: Batch) -> Sends:
    """One residual activation per microbatch. Under sequence parallelism every tensor rank sends
    its share; without it the scatter-gather optimisation does the same and gathers again on
    arrival (Narayanan et al. 2021, section 4.1); without either every rank sends all of it."""
    p, v = batch.pipeline, batch.virtual_stages
    mode = send_mode(scenario.job.software, batch.schedule)
    if p == 1:
        none = np.zeros((len(batch), v - 1))
        return Sends(forward_s=none, backward_s=none, mode=mode)
    rows, inverse = np.unique(batch.row, return_inverse=True)
    down = np.array([_from_each_stage(scenario, table, int(row), p) for row in rows])
    up = np.array([_from_each_stage(scenario, table, int(row), p, -1) for row in rows])
    owner = batch.placement.stage_of
    above, below = owner[:-1], owner[1:]
    falls = (above + 1) % p == below
    stays = above == below
    return Sends(
        forward_s=np.where(stays, 0.0, np.where(falls, down[:, above], up[:, above]))[inverse],
        backward_s=np.where(stays, 0.0, np.where(falls, up[:, below], down[:, below]))[inverse],
        mode=mode,
    )


def send_mode(software: SoftwareProfile, schedule: str) -> SendMode:
    """What a stage does after a pass whose result another stage needs.

    Schedules that split backwards are run with asynchronous sends by everything that runs them;
    DualPipe's pairs send together. Of the others torch never waits. Megatron-LM without
    interleaving waits for every message and refuses overlap; interleaved it waits in warm-up and
    cool-down alone with `overlap_p2p_comm`, and sends in pairs without (`schedules.py`,
    `p2p_communication.py`); DeepSpeed and InternEvo wait like Megatron-LM.
    """
    kind = kind_of(schedule)
    if schedule.startswith("dualpipe"):
        return "paired"
    if kind.splits_backward or software.framework == "torchtitan":
        return "asynchronous"
    if schedule == "interleaved":
        return "overlapped" if "pipeline" in software.overlap else "paired"
    return "blocking"


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
    groups = boundary_groups(scenario.topology, pipeline, direction)
    known = {group: send_s(group, size) + gather_s for group in set(groups)}
    return [known[group] for group in groups]


@lru_cache(maxsize=1024)
def boundary_groups(topology: Topology, pipeline: int, direction: int) -> tuple[Group, ...]:
    """For every stage, the slowest pair of ranks across the boundary to the next stage (or, with
    direction −1, the one before); all devices of the stage on a node share its network cards."""
    stage_devices = topology.devices // pipeline
    groups = []
    for stage in range(pipeline):
        sender = stage * stage_devices
        receiver = (stage + direction) % pipeline * stage_devices
        offsets = _different_offsets(topology, sender, receiver, stage_devices)
        pairs = [
            topology.between(
                sender + offset,
                receiver + offset,
                active=_sharing(topology, sender + offset, range(sender, sender + stage_devices)),
            )
            for offset in offsets
        ]
        groups.append(max(pairs, key=lambda group: send_s(group, _REFERENCE_BYTES)))
    return tuple(groups)


_REFERENCE_BYTES = 2**20
"""Message by which the slowest of several links is told."""


def _different_offsets(
    topology: Topology, sender: int, receiver: int, stage_devices: int
) -> list[int]:
    """One offset into both stages for every pair of nodes they meet on; on equal nodes the first
    and last are enough."""
    if topology.uniform:
        return sorted({0, stage_devices - 1})
    offsets: dict[tuple[int, int], int] = {}
    for offset in range(stage_devices):
        nodes = (topology.node_of(sender + offset), topology.node_of(receiver + offset))
        offsets.setdefault(nodes, offset)
    return list(offsets.values())


def _sharing(topology: Topology, rank: int, stage: range) -> int:
    """Devices of the stage on the rank's node."""
    node = topology.node_of(rank)
    first = last = rank
    while first - 1 in stage and topology.node_of(first - 1) == node:
        first -= 1
    while last + 1 in stage and topology.node_of(last + 1) == node:
        last += 1
    return last - first + 1
