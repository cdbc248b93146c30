"""Compiles a schedule to a max-plus graph: which node waits for which, without durations.

Node i ends at x[i] = max(x[left[i]], x[right[i]]) + duration[weight[i]]. Node 0 is the start of the
step. Passes, messages between stages and the joins of more than two causes are all nodes, so that
one sweep in node order is the whole event simulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from planner.schedule.graph.dependencies import Messages, inputs_of, partners
from planner.schedule.graph.exchanges import Meetings, deadlock, node_levels
from planner.schedule.graph.levels import position_name
from planner.schedule.graph.nodes import NodeBlock, NodeIds, NodePlan, node_blocks
from planner.schedule.passes import PassKind, Schedule

if TYPE_CHECKING:
    from planner.arrays import Ints, SmallInts

Sends = Literal["blocking", "asynchronous", "overlapped", "paired"]
"""What a stage does after a pass whose result another stage needs.

Messages from one stage to another queue behind each other in every case.

blocking      waits until the message has arrived (Megatron-LM without interleaving)
asynchronous  goes on
overlapped    goes on in the steady phase, waits in warm-up and cool-down (Megatron-LM interleaved,
              `overlap_p2p_comm` without `overlap_p2p_comm_warmup_flush`)
paired        waits; in the steady phase, a forward and the backward after it start when both have
              their input and send both results after the backward (Megatron-LM interleaved without
              `overlap_p2p_comm`; DualPipe)
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """The compiled graph. Nodes are in topological order; `levels` divides them into runs without
    dependencies inside."""

    left: SmallInts
    right: SmallInts
    weight: SmallInts
    """[nodes]: row of the duration table, see `WeightTable`."""
    levels: tuple[tuple[int, int], ...]
    pass_node: SmallInts
    """[p, n]: the node of each pass of `Schedule.codes`."""
    message_node: SmallInts
    """[p, n]: the node of the message that carries the pass's result to another stage; 0 where
    none."""
    exchange_node: SmallInts
    """[E, m]: the node of each exchange of `Schedule.exchanges`."""
    last_node: SmallInts
    """[p, v]: the node of the last pass of each chunk."""

    @property
    def num_nodes(self) -> int:
        return self.left.size


@lru_cache(maxsize=16)
def compile_graph(schedule: Schedule, sends: Sends) -> Graph:
    """Raises: RuleError("schedule-order") when passes wait for each other in a cycle; ValueError
    for sends that are none of `Sends`."""
    if sends not in get_args(Sends):
        raise ValueError(f"sends are {sends!r}; they may be {', '.join(get_args(Sends))}")
    inputs = inputs_of(schedule)
    index = np.arange(inputs.shape[1])
    steady = (schedule.steady[:, :1] <= index) & (index < schedule.steady[:, 1:])
    held = ~steady if sends == "overlapped" else np.full(inputs.shape, sends != "asynchronous")
    plan = NodePlan(
        schedule=schedule,
        inputs=inputs,
        messages=Messages.between(inputs),
        held=held,
        partner=partners(schedule, steady & (sends == "paired")),
        meetings=Meetings.of(schedule) if schedule.exchanges else None,
    )
    return _number(plan, *node_blocks(plan))


def _number(plan: NodePlan, blocks: list[NodeBlock], ids: NodeIds) -> Graph:
    """Numbers the nodes level by level."""
    node, left, right, weight, level = (
        np.concatenate(
            [getattr(block, name)[block.present] for block in blocks],
        )
        for name in ("node", "left", "right", "weight", "level")
    )
    size = 1 + int(node.max())
    if plan.meetings is not None:
        level = _search_levels(plan, ids, node, left, right, size)
    if level.max() < 1 << 16:
        level = level.astype(np.uint16)  # numpy sorts these by radix
    order = np.argsort(level, kind="stable")
    number = np.zeros(size, dtype=np.int32)
    number[node[order]] = np.arange(1, 1 + order.size, dtype=np.int32)
    level = level[order]
    cuts = (1 + np.flatnonzero(np.concatenate(([True], level[1:] != level[:-1])))).tolist()
    start = np.zeros(1, dtype=np.int32)
    pass_node = number[ids.of_pass]
    return Graph(
        left=np.concatenate((start, number[left[order]])),
        right=np.concatenate((start, number[right[order]])),
        weight=np.concatenate((start, weight[order].astype(np.int32))),
        levels=tuple(zip(cuts, [*cuts[1:], 1 + order.size], strict=True)),
        pass_node=pass_node,
        message_node=number[ids.of_message],
        exchange_node=number[ids.of_exchange],
        last_node=np.take_along_axis(pass_node, _last_positions(plan.schedule), axis=1),
    )


def _search_levels(
    plan: NodePlan, ids: NodeIds, node: Ints, left: Ints, right: Ints, size: int
) -> Ints:
    """Levels of nodes under provisional ids, found node by node."""
    number = np.zeros(size, dtype=np.int64)
    number[node] = np.arange(1, 1 + node.size)
    start = np.zeros(1, dtype=np.int64)
    one, other = (np.concatenate((start, number[cause])) for cause in (left, right))
    level = node_levels(one, other)[1:]
    stuck = np.flatnonzero(level < 0)
    if stuck.size:
        names = {
            int(number[flat]): position_name(plan.schedule, position)
            for position, flat in enumerate(ids.of_pass.ravel().tolist())
        }
        for exchange, row in zip(plan.schedule.exchanges, ids.of_exchange.tolist(), strict=True):
            names |= {
                int(number[flat]): f"{exchange.name} of microbatch {microbatch}"
                for microbatch, flat in enumerate(row)
            }
        raise deadlock(plan.schedule.name, one, other, set((1 + stuck).tolist()), names)
    return level


def _last_positions(schedule: Schedule) -> Ints:
    """[p, v]: index of the last pass of each chunk of each stage."""
    chunks = np.where(schedule.kinds == PassKind.IDLE, -1, schedule.chunks)
    hits = chunks[:, ::-1, None] == np.arange(schedule.virtual_stages)
    last: Ints = schedule.codes.shape[1] - 1 - hits.argmax(axis=1)
    return last
