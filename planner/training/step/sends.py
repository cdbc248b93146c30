"""Pipeline sends: activations forward and their gradients back, across every stage boundary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import distinct_rows, numbered
from planner.hardware.collectives import all_gather_s, send_s
from planner.schedule.registry import kind_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.hardware.links import ProcessGroup, Topology
    from planner.schedule.graph.compile import Sends as SendMode
    from planner.specs.software import SoftwareProfile
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


_MASK_BYTES = 2
"""Bytes of one element of the attention mask, in 16 bits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sends:
    """Seconds per microbatch across boundary k, between virtual stages k and k + 1 in the order
    they are visited: [N, p·v − 1] each way. `mode` says what a send holds up
    (`planner.schedule.simulation.simulate`)."""

    forward_s: NDArray[np.float64]
    backward_s: NDArray[np.float64]
    mode: SendMode


def boundary_sends(scenario: Scenario, table: CostTable, batch: Batch) -> Sends:
    """One residual activation per microbatch, over the slowest replica's link at each boundary,
    and its gradient back.

    Under sequence parallelism every tensor rank sends its share; without it the scatter-gather
    optimisation does the same and gathers again on arrival (Narayanan et al. 2021, section 4.1);
    without either every rank sends all of it. DeepSpeed divides activations alone, gathers its
    copy again before the gradient arrives and sends the mask along (`runtime/pipe/engine.py`,
    `_exec_send_activations`, `_exec_recv_grads`)."""
    p, v = batch.pipeline, batch.virtual_stages
    mode = send_mode(scenario.job.software, batch.schedule)
    if p == 1:
        none = np.zeros((len(batch), v - 1))
        return Sends(forward_s=none, backward_s=none, mode=mode)
    rows, inverse = numbered(batch.row)
    down = np.array([_stage_sends(scenario, table, int(row), p, 1).max(axis=1) for row in rows])
    up = np.array([_stage_sends(scenario, table, int(row), p, -1).max(axis=1) for row in rows])
    return _visited(batch, down[inverse], up[inverse], mode)


def replica_sends(scenario: Scenario, table: CostTable, batch: Batch) -> Sends:
    """The same for the batch's only plan, by replica instead of plan: each sends over its own
    links, [D, p·v − 1]. A replica is left out if another one has no faster link at any boundary."""
    slowest = boundary_sends(scenario, table, batch)
    if batch.pipeline == 1 or scenario.topology.symmetric:
        return slowest
    row = int(batch.row[0])
    down, up = (_stage_sends(scenario, table, row, batch.pipeline, way).T for way in (1, -1))
    sends = _visited(batch, down, up, slowest.mode)
    kept = _not_dominated(np.concatenate((sends.forward_s, sends.backward_s), axis=1))
    return Sends(
        forward_s=sends.forward_s[kept], backward_s=sends.backward_s[kept], mode=sends.mode
    )


def _visited(
    batch: Batch, down: NDArray[np.float64], up: NDArray[np.float64], mode: SendMode
) -> Sends:
    """Reorders the seconds of each stage's send to the next and to the previous stage, [.., p], to
    the boundaries in the order in which a microbatch crosses them."""
    p = batch.pipeline
    owner = batch.placement.stage_of
    above, below = owner[:-1], owner[1:]
    falls = (above + 1) % p == below
    stays = above == below
    return Sends(
        forward_s=np.where(stays, 0.0, np.where(falls, down[:, above], up[:, above])),
        backward_s=np.where(stays, 0.0, np.where(falls, up[:, below], down[:, below])),
        mode=mode,
    )


def _not_dominated(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the distinct rows that no other row dominates by being at least as slow
    everywhere."""
    distinct, first = np.unique(rows, axis=0, return_index=True)
    as_slow = np.all(distinct[None] >= distinct[:, None], axis=-1)
    kept: NDArray[np.int64] = np.sort(first[as_slow.sum(axis=1) == 1])
    return kept


def send_mode(software: SoftwareProfile, schedule: str) -> SendMode:
    """What a stage does after a pass whose result another stage needs.

    A schedule may decide it by itself (`ScheduleKind.sends`). Otherwise the framework does: torch
    never waits (`asynchronous_sends`). Megatron-LM without interleaving waits for every message and
    refuses overlap. Interleaved, it waits only in warm-up and cool-down with `overlap_p2p_comm`,
    and sends in pairs without it (`schedules.py`, `p2p_communication.py`); DeepSpeed and InternEvo
    wait like Megatron-LM.
    """
    kind = kind_of(schedule)
    if kind.sends is not None:
        return kind.sends
    if software.asynchronous_sends:
        return "asynchronous"
    if kind.sends_may_overlap:
        return "overlapped" if "pipeline" in software.overlap else "paired"
    return "blocking"


def _stage_sends(
    scenario: Scenario, table: CostTable, row: int, pipeline: int, direction: int
) -> NDArray[np.float64]:
    """Seconds of the send from each stage to the next (−1: the previous) one, wrapping around, by
    replica, [p, D]. On a symmetric topology one replica stands for all."""
    shard = table.shards[row]
    whole_bytes = int(table.residual_bytes[row])
    return _sent_s(
        scenario.topology,
        pipeline,
        direction,
        message_bytes(scenario, table, row, direction),
        (shard.tensor, whole_bytes) if _gathers(scenario, table, row) else None,
        shard.tensor * shard.context,
    )


def message_bytes(scenario: Scenario, table: CostTable, row: int, direction: int) -> int:
    """Bytes that one rank sends to the next stage, or with direction −1 to the previous one, for
    one microbatch."""
    shard, software = table.shards[row], scenario.job.software
    size = int(table.residual_bytes[row])
    whole = direction < 0 and software.whole_gradient_sends
    if _gathers(scenario, table, row) and not whole:
        size //= shard.tensor
    if direction > 0 and software.mask_sends:
        size += scenario.job.seq_length**2 * _MASK_BYTES
    return size


def _gathers(scenario: Scenario, table: CostTable, row: int) -> bool:
    """Whether the tensor ranks of a stage gather on arrival what each sent a share of."""
    shard = table.shards[row]
    divided = shard.tensor > 1 and not shard.sequence_parallel
    return divided and scenario.job.software.scatter_gather_sends


@lru_cache(maxsize=4096)
def _sent_s(
    topology: Topology,
    pipeline: int,
    direction: int,
    size: int,
    gathered: tuple[int, int] | None,
    model_devices: int,
) -> NDArray[np.float64]:
    """[p, D], read only: `_stage_sends` of a message of `size` bytes. `gathered`: ranks that gather
    a copy on arrival, and its bytes; `model_devices`: those of one replica of a stage."""
    stages = []
    tensor_groups = topology.stage_groups(gathered[0], 1, pipeline) if gathered else ()
    known: dict[tuple[object, ...], NDArray[np.float64]] = {}
    for stage, crossing in enumerate(crossings(topology, pipeline, direction)):
        receivers = tensor_groups[(stage + direction) % pipeline] if gathered else None
        key = (crossing, receivers)
        if key not in known:
            gather_s = all_gather_s(receivers, gathered[1]) if receivers and gathered else 0.0
            by_pair = np.array([send_s(group, size) for group in crossing.groups]) + gather_s
            by_offset = by_pair[crossing.pair_of]
            each = len(by_offset) if topology.symmetric else model_devices
            known[key] = by_offset.reshape(-1, each).max(axis=1)
        stages.append(known[key])
    found = np.array(stages)
    found.flags.writeable = False
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crossing:
    """Links over which the ranks of a stage send: the group of every pair of nodes that meet, and
    the pair of every offset into the stage, int [offsets]."""

    groups: tuple[ProcessGroup, ...]
    pair_of: NDArray[np.int64]


@lru_cache(maxsize=1024)
def crossings(topology: Topology, pipeline: int, direction: int) -> tuple[Crossing, ...]:
    """For every stage, the links to the next one (or, with direction −1, the one before), wrapping
    around; all devices of the stage on a node share the node's network cards. Stages with equal
    links share one object."""
    each = topology.devices // pipeline
    offsets = topology.offsets(each)
    found: list[Crossing] = []
    alike: dict[tuple[object, ...], Crossing] = {}
    nodes = topology.nodes_of(each * np.arange(pipeline)[:, None] + offsets)
    for stage in range(pipeline):
        sender, receiver = stage * each, (stage + direction) % pipeline * each
        first, pair_of = distinct_rows((nodes[stage], nodes[(stage + direction) % pipeline]))
        ranks = range(sender, sender + each)
        groups = [
            topology.between(
                sender + offset,
                receiver + offset,
                active=_sharing(topology, sender + offset, ranks),
            )
            for offset in offsets[first].tolist()
        ]
        key = (tuple(groups), pair_of.tobytes())
        found.append(alike.setdefault(key, Crossing(groups=tuple(groups), pair_of=pair_of)))
    return tuple(found)


def _sharing(topology: Topology, rank: int, stage: range) -> int:
    """Devices of the stage on the rank's node."""
    here = topology.ranks_of(topology.node_of(rank))
    return min(here.stop, stage.stop) - max(here.start, stage.start)
