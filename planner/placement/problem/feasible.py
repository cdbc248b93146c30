"""Finds a placement that respects which classes each row allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.problem.problem import PlacementProblem


def allowed_order(problem: PlacementProblem) -> NDArray[np.int64] | None:
    """Int [N]: nodes of every class in their order; None where the rows' demands cannot be met.
    Rows are served one after another; nodes already taken move on to other rows along shortest
    augmenting chains."""
    left = np.bincount(problem.node_class, minlength=problem.classes)
    taken = np.zeros((problem.rows, problem.classes), dtype=np.int64)
    for row in range(problem.rows):
        for _ in range(problem.columns):
            chain = _chain(problem.row_class_allowed, taken, left, row)
            if chain is None:
                return None
            for to, kind, of in chain:
                taken[to, kind] += 1
                if of is None:
                    left[kind] -= 1
                else:
                    taken[of, kind] -= 1
    nodes = [list(np.flatnonzero(problem.node_class == kind)) for kind in range(problem.classes)]
    order = [
        nodes[kind].pop(0)
        for row in range(problem.rows)
        for kind in np.flatnonzero(taken[row])
        for _ in range(taken[row, kind])
    ]
    return np.array(order + sorted(set(range(len(problem.node_class))) - set(order)))


def _chain(
    allowed: NDArray[np.bool_], taken: NDArray[np.int64], left: NDArray[np.int64], row: int
) -> list[tuple[int, int, int | None]] | None:
    """Moves (row that gains, class, row that loses, or None for a free node) that end at a free
    node, so that `row` gains one node; None where no chain exists."""
    came: dict[int, tuple[int, int] | None] = {row: None}
    queue = [row]
    for asking in queue:
        for kind in np.flatnonzero(allowed[asking]).tolist():
            if left[kind] > 0:
                return _back(came, asking, kind)
            for holder in np.flatnonzero(taken[:, kind]).tolist():
                if holder not in came:
                    came[holder] = (asking, kind)
                    queue.append(holder)
    return None


def _back(
    came: dict[int, tuple[int, int] | None], asking: int, kind: int
) -> list[tuple[int, int, int | None]]:
    chain: list[tuple[int, int, int | None]] = [(asking, kind, None)]
    step = came[asking]
    while step is not None:
        gains, of_kind = step
        chain.append((gains, of_kind, asking))
        asking, step = gains, came[gains]
    return chain
