"""Simpler problems in place of one: all waits are added to the slowest path, and for bounds no path
goes back to the first row over a link of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.placement.bounds.reach import between_two_nodes
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
    """No larger an objective for any placement, for bounds: the way back to the first row takes the
    cheapest link; only paths that end in the row without slack, followed by the rings of that
    row."""
    if problem.boundaries == problem.rows:
        apart = between_two_nodes(problem.node_class, problem.classes)
        cheapest_s = float(problem.link_s[apart].min(initial=np.inf))
        problem = replace(
            problem,
            path_s=problem.path_s + problem.path_links[:, -1] * cheapest_s,
            path_links=problem.path_links[:, :-1],
        )
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
