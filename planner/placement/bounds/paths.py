"""Leaves out critical paths that never decide the objective, whatever the placement."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.placement.bounds.reach import between_two_nodes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.problem.problem import PlacementProblem

COMPARED = 64
"""Number of paths, those that may take longest, with which all others are compared."""


def without_idle_paths(problem: PlacementProblem) -> PlacementProblem:
    """The problem with fewer paths, under which every placement keeps its objective. Among the
    paths that end in one row, a path is idle if it takes no longer over the most expensive links
    than another path does over the cheapest, or if another path is at least as long over any
    links."""
    apart = between_two_nodes(problem.node_class, problem.classes)
    kept = np.zeros(len(problem.path_s), dtype=np.bool_)
    if not apart.any() or problem.rows == 1:
        links = np.zeros(2)
    else:
        links = np.array([problem.link_s[apart].min(), problem.link_s[apart].max()])
    crossed = problem.path_links.sum(axis=1)
    least_s, most_s = (problem.path_s + crossed * link_s for link_s in links)
    closing = problem.closing
    row_of = np.zeros(len(kept), dtype=np.int64) if closing is None else closing.path_row
    for row in np.unique(row_of):
        here = np.flatnonzero(row_of == row)
        kept[_busy(problem, here, least_s[here], most_s[here])] = True
    return replace(
        problem,
        path_s=problem.path_s[kept],
        path_links=problem.path_links[kept],
        closing=None if closing is None else replace(closing, path_row=closing.path_row[kept]),
    )


def _busy(
    problem: PlacementProblem,
    paths: NDArray[np.int64],
    least_s: NDArray[np.float64],
    most_s: NDArray[np.float64],
) -> NDArray[np.int64]:
    """The paths among `paths` that are not idle."""
    longest = int(least_s.argmax())
    open_ = most_s > least_s[longest]
    open_[longest] = True
    paths, most_s = paths[open_], most_s[open_]
    rows = np.column_stack((problem.path_s[paths], problem.path_links[paths]))
    rows, first = np.unique(rows, axis=0, return_index=True)
    paths, most_s = paths[first], most_s[first]
    alive = np.ones(len(paths), dtype=np.bool_)
    for one in np.argsort(-most_s, kind="stable")[:COMPARED].tolist():
        if alive[one]:
            longer = (rows[one] >= rows).all(axis=1)
            longer[one] = False
            alive &= ~longer
    return np.sort(paths[alive])
