"""The steps of many answers of a program, their pipelines simulated with the best links that the
types of their stages have: no plan with these types and layers is faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.build import build
from planner.schedule.simulation.simulate import Durations
from planner.schedule.simulation.steady import repeated_spans
from planner.training.search.mixed.order_problem import taken
from planner.training.search.mixed.splits import even_chunks
from planner.training.step.parts import jitter_bound_s

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.training.search.mixed.order_problem import Orders
    from planner.training.search.mixed.program import OrderTables
    from planner.training.search.mixed.typed import TypedCombination


def simulated_s(of: TypedCombination, program: OrderTables, orders: Orders) -> Floats:
    """[B]: lower bounds in seconds on the steps of plans with these types and layers, which stages
    of several chunks divide as evenly as they can."""
    problem, batch = program.problem, of.batch
    classes = np.repeat(orders.classes, problem.stages // problem.rows, axis=1)
    forward, backward, weight = _pass_seconds(of, program, orders, classes)
    forward_send, backward_send = stage_sends(of, program, classes)
    spans = repeated_spans(
        build(
            batch.schedule,
            stages=batch.pipeline,
            virtual_stages=batch.virtual_stages,
            num_microbatches=int(batch.num_microbatches[0]),
        ),
        Durations(
            forward_s=forward,
            backward_s=backward,
            backward_weight_s=weight,
            forward_send_s=forward_send,
            backward_send_s=backward_send,
            sends=of.problems[0].sends,
            reduction_s=taken(problem, program.reduction_s, orders),
            tied_reduction_s=program.tied_s[classes[:, [0, -1]]].max(axis=1),
        ),
    )
    return np.asarray(spans + beside_s(of, program, orders))


def beside_s(of: TypedCombination, program: OrderTables, orders: Orders) -> Floats:
    """[B]: what follows the pipeline, and how much longer the slowest devices take."""
    problem, m = program.problem, int(of.batch.chunk_microbatches[0])
    busy = taken(problem, program.forward_s, orders) + taken(problem, program.backward_s, orders)
    after = taken(problem, program.after_s, orders).max(axis=1)
    return np.asarray(after + jitter_bound_s(of.ideal, of.batch, m * busy, typed=True))


def stage_sends(of: TypedCombination, program: OrderTables, classes: Ints) -> tuple[Floats, Floats]:
    """[B, V − 1] each: sends between stages of these classes [B, p], there and back."""
    chunks = of.batch.virtual_stages
    links = program.sends.links
    return (
        _sent(links.forward_after_s, links.forward_before_s, classes, chunks),
        _sent(links.backward_after_s, links.backward_before_s, classes, chunks),
    )


def _sent(after_s: Floats, before_s: Floats, classes: Ints, chunks: int) -> Floats:
    """[B, V − 1] from [C, p]: a message takes at least what either of its ends needs for it."""
    p = classes.shape[1]
    if p == 1:
        return np.zeros((len(classes), chunks - 1))
    stage = np.arange(p)
    sent, taken_in = after_s[classes, stage], before_s[classes, stage]
    across = np.maximum(sent, np.roll(taken_in, -1, axis=1))
    return np.asarray(np.tile(across, chunks)[:, : p * chunks - 1])


def _pass_seconds(
    of: TypedCombination, program: OrderTables, orders: Orders, classes: Ints
) -> tuple[Floats, Floats, Floats]:
    """[B, p, v] each: forward, backward, and what of that are weight gradients."""
    if of.batch.virtual_stages == 1:
        tables = (program.forward_s, program.backward_s, program.weight_s)
        forward, backward, weight = (
            taken(program.problem, table, orders)[..., None] for table in tables
        )
        return forward, backward, weight
    chunks = even_chunks(of, orders.layers)
    stages = np.broadcast_to(np.arange(classes.shape[1]), classes.shape)
    found = program.chunk_seconds.seconds(stages, classes, chunks)
    return found[0], found[1], found[3]
