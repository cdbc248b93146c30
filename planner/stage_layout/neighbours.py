"""Improves layouts with several chunks per stage, layer by layer, under simulation.

The interleaved order runs chunk by chunk, so the step depends on more than the largest stage: a
layer costs as much as the critical path passes its chunk. The critical path of a layout suggests
chunks to take a layer from and chunks to give it to. Several such moves are simulated at once and
the best is taken, until none helps. The simulations run few microbatches; the step of many is
extrapolated with the steady cycle.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.schedule.simulation.critical_path import critical_path
from planner.stage_layout.problem import Layouts, fits, price, spans_s, timeline

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.budget import Budget
    from planner.stage_layout.problem import LayoutProblem, Prices

SHORT, LONG = 2, 4
"""Microbatches per stage in the two simulations that a step is extrapolated from."""

WIDTH = 6
"""How many chunks to take a layer from, and how many to give it to, are tried in a round."""

ROUNDS = 24
"""Most moves."""


def descend(problem: LayoutProblem, start: Layouts, budget: Budget = UNLIMITED) -> Layouts:
    """Follow single moves from `start` while one helps; returns the best layout found, which is
    `start` itself where none helps. When time runs out it returns the best so far."""
    best, best_s = start, float(steps_s(problem, price(problem, start))[0])
    for _ in range(ROUNDS):
        if budget.late:
            break
        moved = _moves(problem, best)
        prices = price(problem, moved)
        seconds = np.where(fits(problem, prices), steps_s(problem, prices), np.inf)
        at = int(seconds.argmin())
        if not seconds[at] < best_s * (1 - 1e-9):
            break
        best, best_s = moved.one(at), float(seconds[at])
    return best


def steps_s(problem: LayoutProblem, prices: Prices) -> Floats:
    """[B]: simulated steps; with many microbatches, extrapolated from two simulations with
    fewer."""
    short, long = SHORT * problem.stages, LONG * problem.stages
    if problem.num_microbatches <= long:
        return spans_s(problem, prices)
    first, second = (
        spans_s(replace(problem, num_microbatches=count), prices) for count in (short, long)
    )
    cycle_s = (second - first) / (long - short)
    return np.asarray(second + (problem.num_microbatches - long) * cycle_s)


def _moves(problem: LayoutProblem, layout: Layouts) -> Layouts:
    """The layout itself, and the layout after moving one item from each of the costliest chunks to
    each of the cheapest; the chunks between shift by one item."""
    cost = _costs(problem, layout)
    order = np.argsort(-cost, kind="stable")
    ends = [layout.ends[0]]
    for giver in order[:WIDTH].tolist():
        for taker in order[::-1][:WIDTH].tolist():
            moved = layout.ends[0].copy()
            if giver < taker:
                moved[giver + 1 : taker + 1] -= 1
            else:
                moved[taker + 1 : giver + 1] += 1
            if giver != taker and (np.diff(moved) > 0).all() and np.isin(moved, problem.ends).all():
                ends.append(moved)
    return Layouts(ends=np.stack(ends), patterns=np.repeat(layout.patterns, len(ends), axis=0))


def _costs(problem: LayoutProblem, layout: Layouts) -> Floats:
    """[V]: seconds that one more layer in each chunk adds to the critical path."""
    count = min(problem.num_microbatches, LONG * problem.stages)
    found = timeline(replace(problem, num_microbatches=count), price(problem, layout))
    layers = [kind for kind, counted in enumerate(problem.replayable) if counted]
    stage_of = problem.placement.stage_of
    forward = problem.forward_s[:, layers].mean(axis=1)[stage_of]
    backward = problem.backward_s[:, layers].mean(axis=1)[stage_of]
    cost = np.zeros(problem.chunks)
    for segment in critical_path(found):
        if segment.chunk is None or segment.activity not in ("forward", "backward"):
            continue
        position = problem.placement.positions[segment.stage, segment.chunk]
        cost[position] += (forward if segment.activity == "forward" else backward)[position]
    return cost
