"""Exact event simulation of a schedule: the longest path through its graph.

Letters: p stages, v chunks of a stage. Every duration is in seconds; passes and sends are per
microbatch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.graph.compile import Graph, Sends, compile_graph
from planner.schedule.graph.weight_table import WeightTable
from planner.schedule.passes import PassKind
from planner.schedule.simulation.reductions import Reductions
from planner.schedule.simulation.sweep import last_ends
from planner.schedule.simulation.timeline import Timeline

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from planner.arrays import Floats
    from planner.schedule.passes import Schedule


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Durations:
    """How long the parts of a schedule take.

    Every field may have leading batch axes, which broadcast against each other; `step_spans` keeps
    them, `simulate` accepts none.
    """

    forward_s: ArrayLike
    """[..., p, v]: one forward through a chunk."""
    backward_s: ArrayLike
    """[..., p, v]: the whole backward, weight gradients included."""
    backward_weight_s: ArrayLike | None = None
    """[..., p, v]: the part of `backward_s` that schedules with split backwards move elsewhere.
    Those schedules need it; the others ignore it."""
    recompute_s: ArrayLike = 0.0
    """[..., p, v] or one number: the part of `backward_s` that recomputation passes do in schedules
    that have them (`planner.schedule.orders.recompute`); the others ignore it."""
    vocab_forward_s: ArrayLike = 0.0
    vocab_backward_s: ArrayLike = 0.0
    """[..., p] or one number: a stage's share of the output layer, where the schedule shares that
    layer."""
    exchange_s: ArrayLike = 0.0
    """[..., E] or one number: the schedule's exchanges, in order."""
    forward_send_s: ArrayLike = 0.0
    """[..., p·v − 1] or one number: an activation from virtual stage k to k + 1. Ignored where both
    are on one stage."""
    backward_send_s: ArrayLike = 0.0
    """[..., p·v − 1] or one number: a gradient from virtual stage k + 1 to k."""
    sends: Sends = "blocking"
    chunk_reduction_s: ArrayLike = 0.0
    """[..., p, v] or one number: gradient reductions that start after the last backward of their
    chunk, one at a time on a stage."""
    reduction_s: ArrayLike = 0.0
    """[..., p] or one number: gradient reduction that starts after the last backward of the stage
    and after its chunks' reductions."""
    tied_reduction_s: ArrayLike = 0.0
    """[...]: reduction between the first and the last stage (tied embeddings), after all of their
    own."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulations:
    """The timelines of B sets of durations: `ends` [nodes, B], `table` [rows, B]."""

    schedule: Schedule
    graph: Graph
    ends: Floats
    table: Floats
    reductions: Reductions

    def __len__(self) -> int:
        return int(self.table.shape[1])

    @property
    def span_s(self) -> Floats:
        """[B]: seconds from the first pass to the end of the last reduction."""
        return self.reductions.span_s

    def timeline(self, one: int) -> Timeline:
        """The timeline of one of them."""
        return Timeline(
            schedule=self.schedule,
            graph=self.graph,
            ends=self.ends[:, one],
            table=self.table[:, one],
            reductions=self.reductions.of_one(one),
        )


def simulate(schedule: Schedule, durations: Durations) -> Timeline:
    """When every pass, message and reduction starts and ends.

    Raises RuleError("schedule-order") when the order deadlocks, ValueError on a wrong shape.
    """
    graph = compile_graph(schedule, durations.sends)
    table = _table(schedule, durations)
    if table.ndim != 1:
        raise ValueError("simulate takes one set of durations; step_spans takes many")
    ends = _ends(graph, table)
    reductions = _reductions(schedule, durations, ends[graph.last_node])
    if reductions.span_s.ndim:
        raise ValueError("simulate takes one set of durations; step_spans takes many")
    return Timeline(schedule=schedule, graph=graph, ends=ends, table=table, reductions=reductions)


def simulate_each(schedule: Schedule, durations: Durations) -> Simulations:
    """Many sets of durations with one leading axis, in one sweep.

    Raises as `simulate`."""
    graph = compile_graph(schedule, durations.sends)
    table = _table(schedule, durations)
    if table.shape[1] * graph.num_nodes > _LEVEL_NODES * len(graph.levels):
        ends = _sweep(graph, table)
    else:
        ends = np.stack([_ends(graph, column) for column in table.T], axis=-1)
    reductions = _reductions(schedule, durations, np.moveaxis(ends[graph.last_node], -1, 0))
    return Simulations(
        schedule=schedule, graph=graph, ends=ends, table=table, reductions=reductions
    )


def step_spans(schedule: Schedule, durations: Durations) -> Floats:
    """[...]: seconds from the first pass to the end of the last reduction, for every batch entry.

    Equals `simulate(...).span_s`. All entries share one sweep, which is far cheaper than one
    simulation for each.
    """
    graph = compile_graph(schedule, durations.sends)
    table = _table(schedule, durations)
    columns = table.reshape(table.shape[0], -1)
    last = _last_ends(graph, columns).reshape(*table.shape[1:], *graph.last_node.shape)
    return _reductions(schedule, durations, last).span_s


_LEVEL_NODES = 30
"""Number of nodes that the loop over nodes finishes in the time that numpy takes for one level."""


def _last_ends(graph: Graph, table: Floats) -> Floats:
    """[batch, p, v]: end of the last pass of every chunk, for a table [rows, batch]."""
    if table.shape[1] * graph.num_nodes > _LEVEL_NODES * len(graph.levels):
        return last_ends(graph, table)
    return np.stack([_ends(graph, column)[graph.last_node] for column in table.T])


def _ends(graph: Graph, table: Floats) -> Floats:
    """[nodes]: end of every node, for a table [rows]."""
    if graph.num_nodes > _LEVEL_NODES * len(graph.levels):
        return _sweep(graph, table)
    return np.array(_walk(graph, table))


def _walk(graph: Graph, table: Floats) -> list[float]:
    """End of every node, one after the other; for narrow levels this is faster than numpy."""
    seconds = table.tolist()
    ends = [0.0]
    append = ends.append
    for one, other, row in zip(*_as_lists(graph), strict=True):
        a, b = ends[one], ends[other]
        append((a if a > b else b) + seconds[row])
    return ends


@lru_cache(maxsize=2)
def _as_lists(graph: Graph) -> tuple[list[int], list[int], list[int]]:
    """Causes and weight of every node but the start."""
    return graph.left[1:].tolist(), graph.right[1:].tolist(), graph.weight[1:].tolist()


def _sweep(graph: Graph, table: Floats) -> Floats:
    """[nodes, ...]: end of every node, level by level, for a table [rows, ...]."""
    ends = np.zeros((graph.num_nodes, *table.shape[1:]))
    left, right, weight = graph.left, graph.right, graph.weight
    for first, stop in graph.levels:
        level = ends.take(left[first:stop], axis=0)
        np.maximum(level, ends.take(right[first:stop], axis=0), out=level)
        np.add(level, table.take(weight[first:stop], axis=0), out=ends[first:stop])
    return ends


def _table(schedule: Schedule, durations: Durations) -> Floats:
    """[rows, ...]: the durations in the order of `WeightTable`."""
    stages, chunks = schedule.stages, schedule.virtual_stages
    forward = _shaped("forward_s", durations.forward_s, stages, chunks)
    backward = _shaped("backward_s", durations.backward_s, stages, chunks)
    weight, recompute = np.zeros((stages, chunks)), np.zeros((stages, chunks))
    if schedule.splits_backward:
        if durations.backward_weight_s is None:
            raise ValueError(f"{schedule.name} splits backwards and needs backward_weight_s")
        weight = _shaped("backward_weight_s", durations.backward_weight_s, stages, chunks)
    if schedule.has(PassKind.RECOMPUTE):
        recompute = _shaped("recompute_s", durations.recompute_s, stages, chunks)
    boundaries = stages * chunks - 1
    of_kind = {
        PassKind.FORWARD: forward,
        PassKind.BACKWARD: backward - recompute,
        PassKind.BACKWARD_INPUT: backward - weight - recompute,
        PassKind.BACKWARD_WEIGHT: weight,
        PassKind.VOCAB_FORWARD: _on_chunks("vocab_forward_s", durations, stages, chunks),
        PassKind.VOCAB_BACKWARD: _on_chunks("vocab_backward_s", durations, stages, chunks),
        PassKind.RECOMPUTE: recompute,
    }
    parts = [
        np.zeros(1),
        *(_flat(of_kind[kind]) for kind in PassKind if kind is not PassKind.IDLE),
        _shaped("forward_send_s", durations.forward_send_s, boundaries),
        _shaped("backward_send_s", durations.backward_send_s, boundaries),
        _shaped("exchange_s", durations.exchange_s, len(schedule.exchanges)),
    ]
    batch = np.broadcast_shapes(*(part.shape[:-1] for part in parts))
    rows = [np.broadcast_to(part, (*batch, part.shape[-1])) for part in parts]
    table = np.moveaxis(np.concatenate(rows, axis=-1), -1, 0)
    expected = WeightTable(
        stages=stages, virtual_stages=chunks, exchanges=len(schedule.exchanges)
    ).size
    if table.shape[0] != expected:
        raise ValueError(f"durations give {table.shape[0]} rows instead of {expected}")
    return np.ascontiguousarray(table)


def _on_chunks(name: str, durations: Durations, stages: int, chunks: int) -> Floats:
    """[..., p, v]: a duration that belongs to stages, the same for every chunk that a pass
    names."""
    of_stage = _shaped(name, getattr(durations, name), stages)
    return np.broadcast_to(of_stage[..., None], (*of_stage.shape, chunks))


def _flat(values: Floats) -> Floats:
    return values.reshape(*values.shape[:-2], -1)


def _shaped(name: str, values: ArrayLike, *shape: int) -> Floats:
    """`values` with the trailing axes `shape`; one number fills them."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0:
        return np.broadcast_to(array, shape)
    if array.shape[-len(shape) :] != shape:
        raise ValueError(f"{name} has shape {array.shape}, its last axes must be {shape}")
    return array


def _reductions(schedule: Schedule, durations: Durations, chunk_ends: Floats) -> Reductions:
    stages, chunks = schedule.stages, schedule.virtual_stages
    return Reductions.of(
        chunk_ends,
        _shaped("chunk_reduction_s", durations.chunk_reduction_s, stages, chunks),
        _shaped("reduction_s", durations.reduction_s, stages),
        np.asarray(durations.tied_reduction_s, dtype=np.float64),
    )
