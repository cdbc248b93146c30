"""A schedule compiled to a max-plus graph: who waits for whom, without any duration.

Node i ends at x[i] = max(x[left[i]], x[right[i]]) + duration[weight[i]]. Node 0 is the start of
the step. Passes, messages between stages and the joins of more than two causes are all nodes, so
one sweep in node order is the whole event simulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from planner.schedule.dependencies import Messages, inputs_of
from planner.schedule.levels import pass_levels
from planner.schedule.passes import PassKind, Schedule

if TYPE_CHECKING:
    from planner.schedule.arrays import Bools, Ints, SmallInts

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
    """Nodes are in topological order; `levels` cuts them into runs without inner dependencies."""

    left: SmallInts
    right: SmallInts
    weight: SmallInts
    """[nodes]: row of the duration table, see `WeightTable`."""
    levels: tuple[tuple[int, int], ...]
    pass_node: SmallInts
    """[p, n]: node of each pass of `Schedule.codes`."""
    message_node: SmallInts
    """[p, n]: node of the message that carries its result to another stage; 0 where none."""
    last_node: SmallInts
    """[p, v]: node of the last pass of each chunk."""

    @property
    def num_nodes(self) -> int:
        return self.left.size


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightTable:
    """Rows of the duration table: row 0 is 0 s, then passes, forward sends, backward sends."""

    stages: int
    virtual_stages: int

    @property
    def passes(self) -> int:
        """Row of a pass: + (kind·p + stage)·v + chunk; row 0 for an idle one."""
        return 1

    @property
    def forward_sends(self) -> int:
        """Row of a send: + k for the boundary between virtual stages k and k + 1."""
        return 1 + PassKind.IDLE * self.stages * self.virtual_stages

    @property
    def backward_sends(self) -> int:
        """The same, from virtual stage k + 1 to k."""
        return self.forward_sends + self.stages * self.virtual_stages - 1

    @property
    def size(self) -> int:
        return self.backward_sends + self.stages * self.virtual_stages - 1

    def rows(self, schedule: Schedule) -> tuple[Ints, Ints]:
        """[p, n] each: the row of every pass and of the message it may have."""
        kinds, chunks = schedule.kinds.astype(np.int64), schedule.chunks
        stage = np.arange(schedule.stages)[:, None]
        place = schedule.placement.virtual_stage[stage, chunks]
        passes = self.passes + (kinds * self.stages + stage) * self.virtual_stages + chunks
        passes = np.where(kinds == PassKind.IDLE, 0, passes)
        forward = kinds == PassKind.FORWARD
        return passes, np.where(
            forward, self.forward_sends + place, self.backward_sends + place - 1
        )


@lru_cache(maxsize=16)
def compile_graph(schedule: Schedule, sends: Sends) -> Graph:
    """Raises RuleError("schedule-order") when passes wait for each other for ever."""
    inputs = inputs_of(schedule)
    messages = Messages.between(inputs)
    index = np.arange(inputs.shape[1])
    steady = (schedule.steady[:, :1] <= index) & (index < schedule.steady[:, 1:])
    held = np.full(inputs.shape, sends in ("blocking", "paired"))
    pair_forward = np.zeros(inputs.shape, dtype=np.bool_)
    if sends == "overlapped":
        held = ~steady
    if sends == "paired":
        pair_forward[:, :-1] = (
            steady[:, :-1]
            & (schedule.kinds[:, :-1] == PassKind.FORWARD)
            & (schedule.kinds[:, 1:] == PassKind.BACKWARD)
        )
    blocks, ids = _blocks(schedule, inputs, messages, held, pair_forward)
    return _number(blocks, ids, _last_positions(schedule))


class _Block(NamedTuple):
    """Nodes of one sort, under provisional ids; each array is [p, n]."""

    present: Bools
    node: Ints
    left: Ints
    right: Ints
    weight: Ints
    level: Ints


class _Ids(NamedTuple):
    """Provisional ids, 0 the start of the step; each array is [p, n]."""

    of_pass: Ints
    of_message: Ints


_PLACES = 5
"""Places of a level: join of inputs, pass, message, message of a pair's backward, join of sends."""


def _blocks(
    schedule: Schedule, inputs: Ints, messages: Messages, held: Bools, pair_forward: Bools
) -> tuple[list[_Block], _Ids]:
    own = np.arange(inputs.size).reshape(inputs.shape)
    of_pass, of_message, of_sends, of_inputs = (1 + own + k * inputs.size for k in range(4))
    of_message = np.where(messages.exists, of_message, 0)
    pair_backward = _right(pair_forward.astype(np.int64)) > 0

    # Both results of a pair leave after its backward; both of its inputs precede its forward.
    release = np.where(pair_forward, own + 1, own)
    first = np.where(pair_backward, -1, inputs)
    second = np.where(pair_forward, np.roll(inputs, -1, axis=1), -1)
    arrival, arrival_too = _at(of_message, first, 0), _at(of_message, second, 0)
    both_arrive = (arrival > 0) & (arrival_too > 0)

    level = _PLACES * pass_levels(schedule, _at(release, first, -1), _at(release, second, -1))

    pair_message = np.where(pair_backward, _right(of_message), 0)
    both_leave = (pair_message > 0) & (of_message > 0)
    free = np.where(held & ~pair_forward, np.maximum(of_message, pair_message), 0)
    free = np.where(both_leave, of_sends, np.where(free > 0, free, of_pass))

    table = WeightTable(stages=schedule.stages, virtual_stages=schedule.virtual_stages)
    pass_row, message_row = table.rows(schedule)
    no_time = np.zeros_like(own)
    passes = _Block(
        present=np.ones(inputs.shape, dtype=np.bool_),
        node=of_pass,
        left=_right(free),
        right=np.where(both_arrive, of_inputs, np.maximum(arrival, arrival_too)),
        weight=pass_row,
        level=level + 1,
    )
    sent = _Block(
        present=messages.exists,
        node=of_message,
        left=_at(of_pass, release, 0),
        right=_at(of_message, messages.previous, 0),
        weight=message_row,
        level=_at(level, release, 0) + np.where(pair_backward, 3, 2),
    )
    send_joins = _Block(both_leave, of_sends, pair_message, of_message, no_time, level + 4)
    input_joins = _Block(both_arrive, of_inputs, arrival, arrival_too, no_time, level)
    return [passes, sent, send_joins, input_joins], _Ids(of_pass, of_message)


def _number(blocks: list[_Block], ids: _Ids, last: Ints) -> Graph:
    """Numbers the nodes level by level. `last` [p, v]: index of the last pass of every chunk."""
    present = np.stack([block.present for block in blocks])
    node, left, right, weight, level = (
        np.stack(columns)[present] for columns in list(zip(*blocks, strict=True))[1:]
    )
    if level.max() < 1 << 16:
        level = level.astype(np.uint16)  # numpy sorts these by radix
    order = np.argsort(level, kind="stable")
    number = np.zeros(1 + present.size, dtype=np.int32)
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
        last_node=np.take_along_axis(pass_node, last, axis=1),
    )


def _last_positions(schedule: Schedule) -> Ints:
    """[p, v]: index of the last pass of each chunk of each stage."""
    chunks = np.where(schedule.kinds == PassKind.IDLE, -1, schedule.chunks)
    hits = chunks[:, ::-1, None] == np.arange(schedule.virtual_stages)
    last: Ints = schedule.codes.shape[1] - 1 - hits.argmax(axis=1)
    return last


def _right(values: Ints) -> Ints:
    """Every row moved one place right, a zero moved in."""
    moved = np.zeros_like(values)
    moved[:, 1:] = values[:, :-1]
    return moved


def _at(values: Ints, position: Ints, none: int) -> Ints:
    """`values` at flat positions, `none` where the position is -1."""
    return np.where(position < 0, none, values.ravel()[position])
