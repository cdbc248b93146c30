"""Replaces a problem by simpler ones: all waits are added to the slowest path, and, for bounds, no
path returns to the first row over a link of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.placement.bounds.reach import between_two_nodes
from planner.placement.problem.problem import Wait

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.problem.problem import PlacementProblem


def likely(problem: PlacementProblem) -> PlacementProblem:
    """A problem with nearly the same objective for every placement, for local search. A row's ring
    is hidden for the slack that the row has when all links are the cheapest."""
    closing = problem.closing
    if closing is None:
        return problem
    wait = Wait(families=(closing.family,), hidden_s=closing.slack_s)
    return replace(problem, closing=None, waits=(wait, *problem.waits))


def at_most(problem: PlacementProblem, order: NDArray[np.int64]) -> PlacementProblem:
    """The problem among `bounds_of` with the largest objective at an order."""
    return max(bounds_of(problem), key=lambda one: one.objective_s(order[: problem.positions]))


def bounds_of(problem: PlacementProblem) -> tuple[PlacementProblem, ...]:
    """Problems whose objective is no larger for any placement, for bounds: the way back to the
    first row takes the cheapest link. One problem counts only the paths that end in the row without
    slack, followed by the rings of that row; the other counts only the paths that are followed by
    the rings of every row."""
    closing = problem.closing
    if closing is None:
        return (_without_way_back(problem),)
    row = int(closing.slack_s.argmin())
    ends = closing.path_row == row
    scale = np.where(np.arange(problem.rows) == row, closing.family.scale, 0.0)
    family = replace(closing.family, scale=scale)
    of_row = replace(
        problem,
        closing=None,
        path_s=problem.path_s[ends],
        path_links=problem.path_links[ends],
        waits=(Wait(families=(family,), hidden_s=np.zeros(problem.rows)), *problem.waits),
    )
    if closing.together is None:
        return (_without_way_back(of_row),)
    together = closing.together
    of_all = replace(
        problem,
        closing=None,
        path_s=together.path_s,
        path_links=together.path_links,
        waits=(Wait(families=(closing.family,), hidden_s=together.hidden_s), *problem.waits),
    )
    return _without_way_back(of_row), _without_way_back(of_all)


def _without_way_back(problem: PlacementProblem) -> PlacementProblem:
    if problem.boundaries < problem.rows:
        return problem
    apart = between_two_nodes(problem.node_class, problem.classes)
    cheapest_s = float(problem.link_s[apart].min(initial=np.inf))
    return replace(
        problem,
        path_s=problem.path_s + problem.path_links[:, -1] * cheapest_s,
        path_links=problem.path_links[:, :-1],
    )
