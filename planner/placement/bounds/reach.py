"""The least and the most that links and hops between classes of nodes can cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.problem.terms import Hops, Terms


def between_two_nodes(node_class: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """Bool [K, K]: pairs of classes for which two distinct nodes exist."""
    count = np.bincount(node_class, minlength=classes)
    present = (count[:, None] > 0) & (count > 0)
    return np.asarray(present & ~(np.eye(classes, dtype=bool) & (count < 2)))


def link_range(
    terms: Terms, apart: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[rows − 1] each: cheapest and most expensive link of every boundary."""
    problem = terms.problem
    pairs = [
        problem.link_s[
            apart
            & problem.row_class_allowed[row][:, None]
            & problem.row_class_allowed[row + 1][None]
        ]
        for row in range(problem.rows - 1)
    ]
    return (
        np.array([links.min(initial=np.inf) for links in pairs]),
        np.array([links.max(initial=0.0) for links in pairs]),
    )


def walks(terms: Terms, apart: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """For each row, [K, paths]: the least that the links after it add when a node of each class
    takes the row."""
    problem = terms.problem
    found = [np.zeros((problem.classes, len(problem.path_s)))]
    for row in range(problem.rows - 2, -1, -1):
        allowed = problem.row_class_allowed[row + 1]
        below = np.where(allowed[:, None], found[0], np.inf)
        more = np.full_like(below, np.inf)
        for kind in np.flatnonzero(allowed):
            links = problem.link_s[:, kind, None] * problem.path_links[:, row]
            reached = np.where(apart[:, kind, None], links + below[kind], np.inf)
            more = np.minimum(more, reached)
        found.insert(0, more)
    return found


def cheapest_hops(
    hops: Hops, apart: NDArray[np.bool_], allowed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """[rows]: the cheapest hop of a family that each row may have, before scaling; 0 without
    hops."""
    if not len(hops.sender):
        return np.zeros(len(allowed))
    return np.array(
        [hops.seconds[apart & row[:, None] & row].min(initial=np.inf) for row in allowed]
    )
