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
    columns = [_by_column(problem, order) for order in found]
    return [*found, *columns, *_switches_in_columns(problem, found[0], relative, slow)]


NEAR = 1 + 1e-6
"""Two neighbours are below one switch when their link costs this many times the cheapest."""

SHARES = (1.0, 0.75, 0.5, 0.0)
"""Where in the pipeline slow nodes lie side by side: behind the middle, the reduction of their row
is hidden by the passes of earlier rows."""


def _switches_in_columns(
    problem: PlacementProblem,
    order: NDArray[np.int64],
    relative: NDArray[np.float64],
    slow: NDArray[np.bool_],
) -> list[NDArray[np.int64]]:
    """Whole switches inside columns, those with slow nodes at one height, and these nodes close to
    one row. Nothing where switches and columns do not divide each other. `order` int [N]: the nodes
    of a switch together; `relative` [K, K], `slow` [K]: of classes."""
    classes = problem.node_class[order]
    near = relative[classes[:-1], classes[1:]] <= relative.min() * NEAR
    switches = np.split(order, np.flatnonzero(~near) + 1)
    size, rows = len(switches[0]), problem.rows
    alike = all(len(nodes) == size for nodes in switches)
    if not alike or not slow.any() or rows == 1 or max(size, rows) % min(size, rows):
        return []
    slow_node = slow[problem.node_class]
    switches.sort(key=lambda nodes: bool(slow_node[nodes].any()))
    used = switches[: -(-problem.positions // size)]
    return [
        _with_slow_in_row(problem, used, slow_node, row)
        for row in dict.fromkeys(round(share * (rows - 1)) for share in SHARES)
    ]


def _with_slow_in_row(
    problem: PlacementProblem,
    switches: list[NDArray[np.int64]],
    slow: NDArray[np.bool_],
    row: int,
) -> NDArray[np.int64]:
    """Int [N]: switches of equal size in columns, slow nodes in a row and those next to it."""
    rows, columns, size = problem.rows, problem.columns, len(switches[0])
    grid = np.full((rows, columns), -1)
    height, width = min(rows, size), max(1, size // rows)
    blocks = [
        (abs(top - row // height * height), column, top)
        for top in range(0, rows, height)
        for column in range(columns - width, -1, -width)
    ]
    for (_, column, top), nodes in zip(sorted(blocks, key=_nearest), switches[::-1], strict=False):
        places = np.arange(height * width).reshape(height, width)
        first = np.argsort(np.abs(places // width + top - row).ravel(), kind="stable")
        block = np.empty(size, dtype=np.int64)
        block[first] = np.concatenate((nodes[slow[nodes]], nodes[~slow[nodes]]))
        grid[top : top + height, column : column + width] = block.reshape(height, width)
    placed = grid.ravel()
    return np.concatenate([placed, np.setdiff1d(np.arange(len(problem.node_class)), placed)])


def _nearest(block: tuple[int, int, int]) -> tuple[int, int, int]:
    """Blocks near the row first, then from the last column on."""
    away, column, top = block
    return away, -column, top


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
