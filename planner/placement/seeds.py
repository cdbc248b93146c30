"""Orders of the nodes that a search for a placement starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.placement.problem.feasible import allowed_order
from planner.placement.state import PlacementState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.placement.problem.problem import PlacementProblem


def best_seed(
    problem: PlacementProblem, seeds: Sequence[Sequence[int] | NDArray[np.int64]]
) -> PlacementState:
    """The best of the orders given, or any that respects `row_class_allowed`. Raises: ValueError
    where there is none."""
    orders = [completed(problem, np.asarray(seed, dtype=np.int64)) for seed in seeds]
    best = best_first(problem, orders)[:1]
    if not best:
        order = allowed_order(problem)
        if order is None:
            raise ValueError("no placement keeps to the classes that rows may have")
        best = [order]
    return PlacementState(best[0], problem.objective_s(best[0][: problem.positions]), 0.0, "none")


def best_first(
    problem: PlacementProblem, orders: Sequence[NDArray[np.int64]]
) -> list[NDArray[np.int64]]:
    """The orders that respect `row_class_allowed`, best first, one for each objective."""
    by_objective: dict[float, NDArray[np.int64]] = {}
    for order in orders:
        by_objective.setdefault(problem.objective_s(order[: problem.positions]), order)
    by_objective.pop(float("inf"), None)
    return [by_objective[objective_s] for objective_s in sorted(by_objective)]


def completed(problem: PlacementProblem, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Int [N]: the order of the positions, followed by the nodes that it leaves out."""
    left = np.ones(len(problem.node_class), dtype=bool)
    left[order] = False
    return np.concatenate([order, np.flatnonzero(left)])
