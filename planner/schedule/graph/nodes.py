"""The nodes of a schedule's graph, one block per kind of node, under provisional ids.

Letters: p stages, n passes of a stage, m microbatches, E exchanges of the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.schedule.graph.levels import pass_levels
from planner.schedule.graph.weight_table import WeightTable

if TYPE_CHECKING:
    from planner.arrays import Bools, Ints
    from planner.schedule.graph.dependencies import Messages
    from planner.schedule.graph.exchanges import Meetings
    from planner.schedule.passes import Schedule


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodePlan:
    """What the nodes are built from; each array is [p, n]."""

    schedule: Schedule
    inputs: Ints
    messages: Messages
    held: Bools
    """Whether the stage waits for its message after the pass."""
    partner: Ints
    """Flat position of the backward that a forward shares its messages with; −1 where none."""
    meetings: Meetings | None

    @property
    def size(self) -> int:
        return self.inputs.size

    @property
    def own(self) -> Ints:
        return np.arange(self.size).reshape(self.inputs.shape)

    def ids(self, block: int) -> Ints:
        """Provisional ids of the nodes of a block with one node per pass; id 0 is the start of the
        step."""
        return 1 + block * self.size + self.own

    def of_exchange(self, number: Ints) -> Ints:
        """Provisional ids of exchanges e·m + microbatch; 0 for −1."""
        return np.where(number >= 0, 1 + 4 * self.size + number, 0)


class NodeBlock(NamedTuple):
    """The nodes of one kind, under provisional ids."""

    present: Bools
    node: Ints
    left: Ints
    right: Ints
    weight: Ints
    level: Ints


class NodeIds(NamedTuple):
    """Provisional ids of passes and messages [p, n] and of exchanges [E, m]."""

    of_pass: Ints
    of_message: Ints
    of_exchange: Ints


_PLACES = 5
"""Places of a level: join of inputs, pass, message, message of a pair's backward, join of sends."""


def node_blocks(plan: NodePlan) -> tuple[list[NodeBlock], NodeIds]:
    schedule, inputs, messages, partner = plan.schedule, plan.inputs, plan.messages, plan.partner
    of_pass, of_message, of_sends, of_inputs = (plan.ids(block) for block in range(4))
    of_message = np.where(messages.exists, of_message, 0)

    # Both results of a pair leave after its backward; both of its inputs precede its forward.
    pair_forward = partner >= 0
    release = np.where(pair_forward, partner, plan.own)
    first = np.where(_right(pair_forward.astype(np.int64)) > 0, -1, inputs)
    second = np.where(pair_forward, np.roll(inputs, -1, axis=1), -1)
    arrival, arrival_too = _at(of_message, first, 0), _at(of_message, second, 0)
    both_arrive = (arrival > 0) & (arrival_too > 0)
    arrival = np.where(both_arrive, of_inputs, np.maximum(arrival, arrival_too))

    pair_message = np.zeros_like(of_message)
    pair_message.ravel()[partner[pair_forward]] = of_message[pair_forward]
    both_leave = (pair_message > 0) & (of_message > 0)
    free = np.where(plan.held & ~pair_forward, np.maximum(of_message, pair_message), 0)
    free = np.where(both_leave, of_sends, np.where(free > 0, free, of_pass))

    if plan.meetings is None:
        waits = _at(release, first, -1), _at(release, second, -1)
        level = _PLACES * pass_levels(schedule, *waits)
    else:
        level = np.zeros_like(inputs)
        arrival = np.maximum(arrival, plan.of_exchange(plan.meetings.awaited))
        held = plan.of_exchange(plan.meetings.holding)
        free = np.where(held > 0, held, free)

    table = WeightTable(stages=schedule.stages, virtual_stages=schedule.virtual_stages)
    pass_row, message_row = table.rows(schedule)
    no_time = np.zeros_like(inputs)
    passes = NodeBlock(
        present=np.ones(inputs.shape, dtype=np.bool_),
        node=of_pass,
        left=_right(free),
        right=arrival,
        weight=pass_row,
        level=level + 1,
    )
    pair_backward = np.zeros_like(both_leave)
    pair_backward.ravel()[partner[pair_forward]] = True
    sent = NodeBlock(
        present=messages.exists,
        node=of_message,
        left=_at(of_pass, release, 0),
        right=_at(of_message, messages.previous, 0),
        weight=message_row,
        level=_at(level, release, 0) + np.where(pair_backward, 3, 2),
    )
    send_joins = NodeBlock(both_leave, of_sends, pair_message, of_message, no_time, level + 4)
    input_joins = NodeBlock(
        both_arrive, of_inputs, _at(of_message, first, 0), arrival_too, no_time, level
    )
    blocks = [passes, sent, send_joins, input_joins]
    exchanges = np.zeros((0, schedule.num_microbatches), dtype=np.int64)
    if plan.meetings is not None:
        found = _exchange_blocks(plan, plan.meetings, of_pass.ravel(), table.exchange)
        exchanges = found[0].node.reshape(-1, schedule.num_microbatches)
        blocks += found
    return blocks, NodeIds(of_pass, of_message, exchanges)


def _exchange_blocks(
    plan: NodePlan, meetings: Meetings, of_pass: Ints, first_row: int
) -> list[NodeBlock]:
    """The exchanges, then the joins of the passes they wait for, stage by stage."""
    m = plan.schedule.num_microbatches
    count = len(meetings.waits_for) * m
    node = plan.of_exchange(np.arange(count))
    previous = np.zeros_like(node)
    previous[meetings.queue[1:]] = node[meetings.queue[:-1]]
    joins: list[NodeBlock] = []
    next_id = 1 + 4 * plan.size + count
    lefts = []
    for waits_for in meetings.waits_for:
        last = of_pass[waits_for[:, 0]]
        for position in waits_for.T[1:]:
            join = next_id + np.arange(m)
            next_id += m
            joins.append(_plain_block(join, last, of_pass[position], 0))
            last = join
        lefts.append(last)
    rows = first_row + np.repeat(np.arange(len(meetings.waits_for)), m)
    return [_plain_block(node, np.concatenate(lefts), previous, rows), *joins]


def _plain_block(node: Ints, left: Ints, right: Ints, weight: Ints | int) -> NodeBlock:
    return NodeBlock(
        present=np.ones(node.shape, dtype=np.bool_),
        node=node,
        left=left,
        right=right,
        weight=np.broadcast_to(weight, node.shape),
        level=np.zeros_like(node),
    )


def _right(values: Ints) -> Ints:
    """Every row shifted one place to the right, with 0 in the first place."""
    moved = np.zeros_like(values)
    moved[:, 1:] = values[:, :-1]
    return moved


def _at(values: Ints, position: Ints, none: int) -> Ints:
    """`values` at flat positions, `none` where the position is -1."""
    return np.where(position < 0, none, values.ravel()[position])
