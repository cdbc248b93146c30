"""All placements that differ, where there are only a few: of a few nodes, or of many of which only
a few are unlike the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.problem.problem import PlacementProblem

MOST = 5_040
"""Placements up to which all are priced: the orders of seven nodes."""
MOST_PLACES = 200_000
"""Their positions together."""


def every_placement(problem: PlacementProblem) -> NDArray[np.int64] | None:
    """Int [n, positions]: the classes at the positions, in every way that the rows allow; None
    where there are too many."""
    most = min(MOST, MOST_PLACES // problem.positions)
    found = np.zeros((1, 0), dtype=np.int64)
    left = np.bincount(problem.node_class, minlength=problem.classes)[None]
    for position in range(problem.positions):
        may = (left > 0) & problem.row_class_allowed[position // problem.columns]
        if may.sum() > most:
            return None
        before, chosen = np.nonzero(may)
        found = np.hstack([found[before], chosen[:, None]])
        left = left[before]
        left[np.arange(len(chosen)), chosen] -= 1
    return found


def with_classes(problem: PlacementProblem, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Int [N]: nodes of these classes, int [positions], each class in its own order; then the
    unused nodes."""
    order = np.empty(len(classes), dtype=np.int64)
    for kind in np.unique(classes):
        places = np.flatnonzero(classes == kind)
        order[places] = np.flatnonzero(problem.node_class == kind)[: len(places)]
    return np.concatenate([order, np.setdiff1d(np.arange(len(problem.node_class)), order)])
