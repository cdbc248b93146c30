"""The exact layout of any schedule under any links, critical path by critical path.

It checks the threshold program, and shows in benchmarks how far interleaved layouts may be off.

The simulated step is the largest of all paths through the schedule's graph, each linear in the
times of the chunks. The program knows a few of them; the simulation of its answer finds the one
that decides, which becomes a row, until the simulated step is the program's own: then no layout is
faster, for any schedule and any links.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.solver import Limits, solve
from planner.stage_layout.problem import price, spans_s
from tests.stage_layout.checker.program import LayoutProgram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.solver import Answer, Engine
    from planner.stage_layout.problem import LayoutProblem, Layouts

EXACT = 1e-6
"""Relative distance of simulated span and bound at which a layout is proven best."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solved:
    """The best layout found, its simulated span, and a lower bound on the span of every layout.
    `answer` is the solver's last one."""

    layout: Layouts | None
    span_s: float
    bound_s: float
    paths: int
    answer: Answer

    @property
    def proven(self) -> bool:
        return self.span_s <= self.bound_s * (1 + EXACT)


def solve_layout(
    problem: LayoutProblem,
    start: Layouts | None = None,
    *,
    limits: Limits | None = None,
    most_paths: int = 200,
    engines: Sequence[Engine] | None = None,
) -> Solved:
    """The layout with the shortest simulated step, never worse than `start`; None where no layout
    fits."""
    program = LayoutProgram(problem, start)
    best, best_s, bound_s = start, np.inf, 0.0
    if start is not None:
        best_s = float(spans_s(problem, price(problem, start))[0])
        program.add_path(start)
    paths = 0
    while True:
        known = None if best is None else program.assignment(best, best_s)
        with_engines = {} if engines is None else {"engines": engines}
        answer = solve(program.problem, limits or Limits(), known=known, **with_engines)
        bound = np.inf if answer.status == "infeasible" else (answer.bound or 0.0)
        bound_s = max(bound_s, program.unit_s * bound)
        if not answer.values:
            break
        found = program.layout(answer)
        span_s = float(spans_s(problem, price(problem, found))[0])
        if span_s < best_s:
            best, best_s = found, span_s
        unproven = answer.status != "optimal" or paths == most_paths
        if unproven or best_s <= bound_s * (1 + EXACT) or not program.add_path(found):
            break
        paths += 1
    return Solved(layout=best, span_s=best_s, bound_s=bound_s, paths=paths, answer=answer)
