"""Orders of nodes to start a search from, with network neighbours next to each other.

A spanning tree grown from the closest nodes (Prim 1957) visits a switch or a site completely before
it leaves it. Slow nodes either go last, where they can be hidden, or stay next to their neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.placement.bounds.reach import between_two_nodes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.problem.problem import PlacementProblem

SLOW = 1.25
"""A node is slow when its best link costs more than this many times the median node's."""


def near_each_other(problem: PlacementProblem) -> list[NDArray[np.int64]]:
    """Orders, int [N] each, unused nodes last: nearest nodes share a row in some, a column in the
    others."""
    apart = between_two_nodes(problem.node_class, problem.classes)
    if not apart.any():
        return []
    cost = _costs(problem, apart)
    best = cost.min(axis=1, where=apart, initial=float(cost[apart].max()))
    relative = _ratio(cost, np.maximum(best[:, None], best))
    slow = best > SLOW * float(np.median(best[problem.node_class]))
    found = []
    for costs in (relative, cost):
        order = _by_class(problem, _grown(costs))
        late = slow[problem.node_class[order]]
        found += [order, np.concatenate([order[~late], order[late]])]
    return found + [_by_column(problem, order) for order in found]


def _by_column(problem: PlacementProblem, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same nodes, filled in column by column."""
    positions = problem.positions
    grid = order[:positions].reshape(problem.columns, problem.rows).T
    return np.concatenate([grid.ravel(), order[positions:]])


def _ratio(cost: NDArray[np.float64], usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many times the usual cost a cost is: 1 where both are 0, infinite where only the usual
    is."""
    free = np.where(cost > 0, np.inf, 1.0)
    return np.divide(cost, usual, out=free, where=usual > 0)


def _costs(problem: PlacementProblem, apart: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[K, K]: links and hops between classes, each divided by its median, in the slower of the two
    directions. All entries are finite; only those where `apart` [K, K] holds belong to two
    nodes."""
    matrices = [problem.link_s] + [
        family.hop_s for wait in problem.waits for family in wait.families
    ]
    total = np.zeros((problem.classes, problem.classes))
    for seconds in matrices:
        usual = float(np.median(seconds[apart])) or float(seconds[apart].max())
        if usual > 0:
            total += seconds / usual
    return np.maximum(total, total.T)


def _grown(cost: NDArray[np.float64]) -> list[int]:
    """Classes in the order in which a spanning tree of the cheapest pairs reaches them."""
    classes = len(cost)
    between = np.where(np.eye(classes, dtype=bool), np.inf, cost)
    at = int(between.min(axis=1).argmin())
    order, left = [at], np.ones(classes, dtype=bool)
    left[at] = False
    nearest = between[at].copy()
    while left.any():
        at = int(np.where(left, nearest, np.inf).argmin())
        if not left[at]:
            at = int(left.argmax())
        order.append(at)
        left[at] = False
        nearest = np.minimum(nearest, between[at])
    return order


def _by_class(problem: PlacementProblem, classes: list[int]) -> NDArray[np.int64]:
    rank = np.empty(problem.classes, dtype=np.int64)
    rank[classes] = np.arange(problem.classes)
    return np.argsort(rank[problem.node_class], kind="stable")
