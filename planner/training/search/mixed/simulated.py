"""The steps of many answers of a program, their pipelines simulated with the best links that the
types of their stages have: no plan with these types and layers is faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.build import build
from planner.schedule.simulation.simulate import Durations, step_spans
from planner.training.batch import OUTER_KINDS
from planner.training.search.mixed.orders import taken
from planner.training.search.mixed.typed import spread
from planner.training.step.parts import jitter_s

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.training.search.mixed.orders import Orders
    from planner.training.search.mixed.program import OrderTables
    from planner.training.search.mixed.typed import TypedCombination


def simulated_s(of: TypedCombination, program: OrderTables, orders: Orders) -> Floats:
    """[B]: lower bounds in seconds on the steps of plans with these types and layers."""
    problem, batch = program.problem, of.batch
    forward, backward, weight = (
        taken(problem, table, orders)
        for table in (program.forward_s, program.backward_s, program.weight_s)
    )
    classes = np.repeat(orders.classes, problem.stages // problem.rows, axis=1)
    m = int(batch.chunk_microbatches[0])
    shares = _chunk_shares(of, program, orders)
    spans = step_spans(
        build(
            batch.schedule,
            stages=batch.pipeline,
            virtual_stages=batch.virtual_stages,
            num_microbatches=int(batch.num_microbatches[0]),
        ),
        Durations(
            forward_s=forward[..., None] * shares,
            backward_s=backward[..., None] * shares,
            backward_weight_s=weight[..., None] * shares,
            forward_send_s=_sent(program.forward_send_s, classes, batch.virtual_stages),
            backward_send_s=_sent(program.backward_send_s, classes, batch.virtual_stages),
            sends=of.problems[0].sends,
            reduction_s=taken(problem, program.reduction_s, orders),
            tied_reduction_s=program.tied_s[classes[:, [0, -1]]].max(axis=1),
        ),
    )
    after = taken(problem, program.after_s, orders).max(axis=1)
    return np.asarray(spans + after + jitter_s(of.ideal, m * (forward + backward)))


def _sent(send_s: Floats, classes: Ints, chunks: int) -> Floats:
    """[B, V − 1] from [C, p]: a message takes at least what it takes between two stages like
    either of its ends."""
    p = classes.shape[1]
    if p == 1:
        return np.zeros((len(classes), chunks - 1))
    stage = np.arange(p)
    own = send_s[classes, stage]
    # Links after the last stage lead back to the first one.
    own[:, -1] = send_s[classes[:, -1], 0]
    following = np.roll(send_s[np.roll(classes, -1, axis=1), stage], 0, axis=1)
    following[:, -1] = send_s[classes[:, 0], 0]
    across = np.maximum(own, following)
    return np.asarray(np.tile(across, chunks)[:, : p * chunks - 1])


def _chunk_shares(of: TypedCombination, program: OrderTables, orders: Orders) -> Floats:
    """[B, p, v]: the share of a stage's work that each chunk has."""
    v = of.batch.virtual_stages
    if v == 1:
        return np.ones((*orders.layers.shape, 1))
    if not of.free:
        held = of.batch.load.counts[..., :-OUTER_KINDS].sum(axis=-1).astype(np.float64)
        return np.broadcast_to(held / held.sum(axis=1, keepdims=True), (len(orders), *held.shape))
    known = np.array(
        [spread(layers, v) for layers in range(program.problem.own_s.shape[2])], dtype=np.float64
    )
    counts = known[orders.layers]
    return np.asarray(counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1.0))
