"""Problems whose waits are all added to the slowest path, in place of one in which paths are
followed by the rings of the rows in which they end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.placement.problem.problem import Wait

if TYPE_CHECKING:
    from planner.placement.problem.problem import PlacementProblem


def likely(problem: PlacementProblem) -> PlacementProblem:
    """Nearly the same objective for every placement, for local search: each row's ring may take as
    long as its slack where all links are the cheapest."""
    closing = problem.closing
    if closing is None:
        return problem
    wait = Wait(families=(closing.family,), hidden_s=closing.slack_s)
    return replace(problem, closing=None, waits=(wait, *problem.waits))


def at_most(problem: PlacementProblem) -> PlacementProblem:
    """No larger an objective for any placement, for bounds: only paths that end in the row without
    slack, followed by the rings of that row."""
    closing = problem.closing
    if closing is None:
        return problem
    row = int(closing.slack_s.argmin())
    ends = closing.path_row == row
    scale = np.where(np.arange(problem.rows) == row, closing.family.scale, 0.0)
    family = replace(closing.family, scale=scale)
    return replace(
        problem,
        closing=None,
        path_s=problem.path_s[ends],
        path_links=problem.path_links[ends],
        waits=(Wait(families=(family,), hidden_s=np.zeros(problem.rows)), *problem.waits),
    )
