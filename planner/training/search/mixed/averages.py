"""The average of paths that bounds an answer best, whatever the splits of its layers over chunks.

Paths are rows of a linear program whose variables are the shares of every stage's ways; the
simulation of its solution finds the path that decides, until no new one comes. The dual of the last
program has the shares of the paths.

Letters: J paths, p stages, v chunks of a stage, X corners of a stage's ways.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.solver.mixture import best_average, best_mixture
from planner.training.search.mixed.answer_paths import IN_USE, mixed
from planner.training.search.mixed.cuts import LATEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats, Ints
    from planner.budget import Budget
    from planner.solver import Solver
    from planner.training.search.mixed.answer_paths import AnswerPaths
    from planner.training.search.mixed.splits import ChunkWays

ROUNDS = 24
"""Most paths that are looked for in turn for one answer."""

MARGIN = 1 + 1e-7
"""By how much more than what is to be beaten a program has to come to, for rounding."""


def longest_average(
    of: AnswerPaths,
    answer: int,
    ways: Sequence[ChunkWays],
    below_s: float,
    solver: Solver,
    budget: Budget = UNLIMITED,
) -> Floats | None:
    """[J]: shares of the paths known afterwards. Paths are looked for until they bound all splits
    of the answer from above `below_s`, or no new one comes. None where the solver has no answer.
    Raises: OutOfTime."""
    fixed = of.known_s(answer, ways)
    rows = of.in_use(fixed, ways)
    for _ in range(ROUNDS):
        budget.check()
        found = best_mixture(_tables(of, ways, rows), fixed[rows], below_s, solver)
        if found is None or found.seconds >= below_s * MARGIN:
            break
        passes = mixed(ways, found.shares)
        seconds = of.seconds(fixed, passes)
        longer = np.flatnonzero(seconds > found.seconds * MARGIN)
        if not len(longer):
            known = len(seconds)
            fixed = of.added(answer, passes)
            longer = np.arange(known, len(fixed))
            seconds = np.append(seconds, np.full(len(longer), inf))
        if not len(longer):
            break
        new = longer[np.argsort(-seconds[longer], kind="stable")[:LATEST]]
        rows = rows[np.argsort(-seconds[rows], kind="stable")[:IN_USE]]
        rows = np.append(rows, new)
    shares = best_average(_tables(of, ways, rows), fixed[rows], below_s, solver)
    if shares is None:
        return None
    every = np.zeros(len(of.paths))
    every[rows] = shares
    return every


def _tables(of: AnswerPaths, ways: Sequence[ChunkWays], rows: Ints) -> list[Floats]:
    """[J, X] of every stage: what each corner adds to each of these paths."""
    return [of.paths.passes[rows, stage] @ one.corners_s.T for stage, one in enumerate(ways)]
