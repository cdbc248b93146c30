"""Improves layouts with several chunks per stage, layer by layer, under simulation.

The interleaved order runs chunk by chunk, so the step depends on more than the largest stage: a
layer costs as much as the critical path passes its chunk. The critical path of a layout suggests
chunks to take a layer from and chunks to give it to. Several such moves are simulated at once and
the best is taken, until none helps. The simulations run few microbatches; the step of many is
extrapolated with the steady cycle.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.budget import UNLIMITED
from planner.schedule.passes import PassKind
from planner.schedule.simulation.critical_path import critical_passes
from planner.stage_layout.problem import Layouts, fits, price, simulations, spans_s

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.budget import Budget
    from planner.schedule.simulation.simulate import Simulations
    from planner.schedule.simulation.timeline import Timeline
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
    best, tried = start, _Tried.of(problem, price(problem, start))
    best_s, timeline = float(tried.steps_s[0]), tried.longest.timeline(0)
    for _ in range(ROUNDS):
        if budget.late:
            break
        moved = _moves(problem, best, timeline)
        prices = price(problem, moved)
        tried = _Tried.of(problem, prices)
        seconds = np.where(fits(problem, prices), tried.steps_s, np.inf)
        at = int(seconds.argmin())
        if not seconds[at] < best_s * (1 - 1e-9):
            break
        best, best_s, timeline = moved.one(at), float(seconds[at]), tried.longest.timeline(at)
    return best


class _Tried(NamedTuple):
    """Simulated steps of layouts, [B], and the simulations with the most microbatches."""

    steps_s: Floats
    longest: Simulations

    @classmethod
    def of(cls, problem: LayoutProblem, prices: Prices) -> _Tried:
        """Extrapolated from two simulations with fewer microbatches where there are many."""
        short, long = SHORT * problem.stages, LONG * problem.stages
        if problem.num_microbatches <= long:
            longest = simulations(problem, prices)
            return cls(longest.span_s, longest)
        first = spans_s(replace(problem, num_microbatches=short), prices)
        longest = simulations(replace(problem, num_microbatches=long), prices)
        second = longest.span_s
        cycle_s = (second - first) / (long - short)
        return cls(second + (problem.num_microbatches - long) * cycle_s, longest)


def _moves(problem: LayoutProblem, layout: Layouts, timeline: Timeline) -> Layouts:
    """The layout itself, and the layout after moving one item from each of the costliest chunks to
    each of the cheapest; the chunks between shift by one item."""
    cost = _costs(problem, timeline)
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
