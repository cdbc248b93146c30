"""The average of paths that bounds an answer best, whatever the splits of its layers over chunks.

Paths are rows of a linear program whose variables are the shares of every stage's ways; the
simulation of its solution finds the path that decides, until no new one comes. The dual of the last
program has the shares of the paths.

Letters: J paths, p stages, v chunks of a stage, X corners of a stage's ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.solver.mixture import Mixtures
from planner.training.search.mixed.answer_paths import mixed
from planner.training.search.mixed.cuts import LATEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats
    from planner.budget import Budget
    from planner.solver import Solver
    from planner.training.search.mixed.answer_paths import AnswerPaths
    from planner.training.search.mixed.splits import ChunkWays

ROUNDS = 64
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
    program = Mixtures([len(one.corners_s) for one in ways], below_s, solver)
    new = rows = of.in_use(fixed, ways)
    shares: Floats | None = None
    for _ in range(ROUNDS):
        budget.check()
        tables = [of.paths.passes[new, stage] @ one.corners_s.T for stage, one in enumerate(ways)]
        program.add(fixed[new], np.concatenate(tables, axis=1))
        found = program.mixture()
        if found is None:
            break
        shares = np.zeros(len(of.paths))
        shares[rows] = found.rows
        passes = mixed(ways, found.ways)
        seconds = of.seconds(fixed, passes)
        span_s = float(seconds[rows].max())
        if span_s >= below_s * MARGIN:
            break
        longer = np.flatnonzero(seconds > span_s * MARGIN)
        if not len(longer):
            known = len(seconds)
            fixed = of.added(answer, passes)
            longer = np.arange(known, len(fixed))
            seconds = of.seconds(fixed, passes)
        new = longer[np.argsort(-seconds[longer], kind="stable")[:LATEST]]
        if not len(new):
            break
        rows = np.append(rows, new)
    if shares is not None:
        shares = np.append(shares, np.zeros(len(of.paths) - len(shares)))
    return shares
