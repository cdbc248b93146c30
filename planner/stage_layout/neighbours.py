"""Improves layouts with several chunks per stage, layer by layer, under simulation.

The interleaved order runs chunk by chunk, so the step depends on more than the largest stage: a
layer costs as much as the critical path passes its chunk. The critical path of a layout suggests
chunks to take a layer from and chunks to give it to: any chunks, chunks of one stage, or the same
chunks of all stages at once. Several such moves are simulated at once and the best is taken, until
none helps. The simulations run few microbatches; the step of many is extrapolated with the steady
cycle.

Letters: p stages, v chunks of a stage, V = p · v chunks in the order in which a microbatch visits
them, B layouts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.budget import UNLIMITED
from planner.schedule.passes import PassKind
from planner.schedule.simulation.critical_path import critical_passes
from planner.stage_layout.problem import fits, price, simulations, spans_s
from planner.stage_layout.starts import pieces_of, regular_layouts, with_pieces
from planner.stage_layout.tried import keys_of, tried_of

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.budget import Budget
    from planner.schedule.simulation.timeline import Timeline
    from planner.stage_layout.problem import LayoutProblem, Layouts
    from planner.stage_layout.tried import Tried

SHORT, LONG = 2, 4
"""Microbatches per stage in the two simulations that a step is extrapolated from."""

WIDTH = 6
"""How many chunks to take a layer from, and how many to give it to, are tried in a round."""

IN_STAGE, IN_ROWS = 2, 5
"""The same of the chunks of one stage, and of chunks of all stages."""

ROUNDS = 24
"""Most moves."""

CHUNKS_MOVED = 2048
"""Most moves times chunks: with many chunks every move takes longer to find and gains less."""


def descend(problem: LayoutProblem, start: Layouts, budget: Budget = UNLIMITED) -> Layouts:
    """Follow moves from the best of `start` and regular layouts while one helps; returns the best
    layout found that fits, which is `start` itself where none is better. When time runs out it
    returns the best so far."""
    best, best_s = start, np.inf
    tried = tried_of(problem)
    layouts = regular_layouts(problem, start)
    for _ in range(1 + min(ROUNDS, max(1, CHUNKS_MOVED // problem.chunks))):
        found = _best_of(problem, layouts, tried)
        if found is None or not found.step_s < best_s * (1 - 1e-9):
            break
        best, best_s = found.layout, found.step_s
        if budget.late:
            break
        layouts = _moves(problem, best, tried)
    return best


class _Found(NamedTuple):
    """A layout and its step."""

    layout: Layouts
    step_s: float


def _best_of(problem: LayoutProblem, layouts: Layouts, tried: Tried) -> _Found | None:
    """The fastest of the layouts that fit, the first one of equals; None where none fits."""
    fitting = layouts.some(np.flatnonzero(fits(problem, price(problem, layouts))))
    if not len(fitting):
        return None
    keys = keys_of(fitting)
    new = [at for at, key in enumerate(keys) if key not in tried.steps_s]
    if new:
        steps_s = _steps(problem, fitting.some(np.array(new)))
        tried.steps_s.update(zip([keys[at] for at in new], steps_s.tolist(), strict=True))
    known_s = [tried.steps_s[key] for key in keys]
    at = int(np.argmin(known_s))
    return _Found(fitting.one(at), known_s[at])


def _steps(problem: LayoutProblem, layouts: Layouts) -> Floats:
    """[B]: simulated steps. Where there are many microbatches, they are extrapolated from two
    simulations with fewer."""
    prices = price(problem, layouts)
    short, long = SHORT * problem.stages, LONG * problem.stages
    if problem.num_microbatches <= long:
        return spans_s(problem, prices)
    first = spans_s(replace(problem, num_microbatches=short), prices)
    second = spans_s(replace(problem, num_microbatches=long), prices)
    cycle_s = (second - first) / (long - short)
    return second + (problem.num_microbatches - long) * cycle_s


def _moves(problem: LayoutProblem, layout: Layouts, tried: Tried) -> Layouts:
    """The layouts to try after this one, by the simulation with the most microbatches."""
    (key,) = keys_of(layout)
    if key not in tried.moves:
        most = min(problem.num_microbatches, LONG * problem.stages)
        simulated = simulations(replace(problem, num_microbatches=most), price(problem, layout))
        tried.moves[key] = _moved(problem, layout, simulated.timeline(0))
    return tried.moves[key]


def _moved(problem: LayoutProblem, layout: Layouts, timeline: Timeline) -> Layouts:
    """The layouts after moving one piece from each of the costliest chunks to each of the cheapest:
    of all chunks, of those of each stage, and of all stages at once."""
    p, v = problem.stages, problem.virtual_stages
    pieces = pieces_of(problem, layout)[0]
    cost = _costs(problem, timeline)
    moved = [_one_moved(pieces, cost, np.arange(p * v), WIDTH)]
    for stage in range(p):
        moved.append(_one_moved(pieces, cost, np.arange(stage, p * v, p), IN_STAGE))
    table = pieces.reshape(v, p)
    rows = np.argsort(-cost.reshape(v, p).sum(axis=1), kind="stable")
    for giver in rows[:IN_ROWS].tolist():
        for taker in rows[::-1][:IN_ROWS].tolist():
            given = table.copy()
            has_more = table[giver] > 1
            given[giver] -= has_more
            given[taker] += has_more
            moved.append(given.reshape(1, -1))
    return with_pieces(problem, np.concatenate(moved), layout.patterns[0])


def _one_moved(pieces: Ints, cost: Floats, among: Ints, width: int) -> Ints:
    """[B, V]: `pieces` [V] with one moved from each of the `width` costliest chunks `among` some to
    each of the cheapest of them."""
    order = among[np.argsort(-cost[among], kind="stable")]
    giving = order[pieces[order] > 1]
    givers, takers = (one.ravel() for one in np.meshgrid(giving[:width], order[::-1][:width]))
    moved = np.tile(pieces, (len(givers), 1))
    each = np.arange(len(givers))
    moved[each, givers] -= 1
    moved[each, takers] += 1
    return moved


def _costs(problem: LayoutProblem, timeline: Timeline) -> Floats:
    """[V]: seconds that one more layer in each chunk adds to the critical path."""
    layers = [kind for kind, counted in enumerate(problem.replayable) if counted]
    stage_of = problem.placement.stage_of
    forward = problem.forward_s[:, layers].mean(axis=1)[stage_of]
    backward = problem.backward_s[:, layers].mean(axis=1)[stage_of]
    cost = np.zeros(problem.chunks)
    found = critical_passes(timeline)
    position = problem.placement.positions[found.stages, found.chunks]
    is_forward = found.kinds == PassKind.FORWARD
    counted = is_forward | (found.kinds == PassKind.BACKWARD)
    seconds = np.where(is_forward, forward[position], backward[position])
    np.add.at(cost, position[counted], seconds[counted])
    return cost
