"""The best placement known by classes of nodes, and how it is improved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.placement.classes.decode import decode
from planner.placement.classes.faults import Allowance
from planner.placement.classes.repair import Repair
from planner.placement.problem.problem import wait_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.placement.classes.fabric import NestedBlocks
    from planner.placement.classes.thresholds import Thresholds
    from planner.placement.problem.problem import PlacementProblem

REPAIR_STEPS = 800
"""Moves of the first repair of a combination of waits; later ones get more."""
BELOW = 1 - 1e-9
"""Bounds are scaled by this, so that rounding cannot lift a bound above the true value."""


class BestGrid:
    """`grid` [rows, columns]: the class of the node at every position; it takes `step_s`."""

    def __init__(
        self, problem: PlacementProblem, incumbent: NDArray[np.int64], *, enough: float
    ) -> None:
        """`enough`: a better placement has to be faster by this share."""
        self.problem, self._enough = problem, enough
        order = incumbent[: problem.positions]
        self.grid = problem.node_class[order].reshape(problem.rows, problem.columns)
        self.first_s = self.step_s = problem.objective_s(order)

    @property
    def order(self) -> tuple[int, ...] | None:
        """The node at every position; None where nothing better than the incumbent was found."""
        if self.step_s < self.first_s * BELOW:
            return tuple(nodes_of(self.problem, self.grid).tolist())
        return None

    def repair(
        self,
        thresholds: Thresholds,
        at: tuple[int, ...],
        fabric: NestedBlocks,
        *,
        seed: int,
        budget: Budget,
        ended: Callable[[], bool],
        take: NDArray[np.int64] | None = None,
    ) -> None:
        """Look for a better placement under a combination of waits, starting from the best one or
        from a program's assignment `take`; each placement found is the next start."""
        steps = round(REPAIR_STEPS * budget.work) * (1 + seed)
        grid = self.grid if take is None else None
        while steps > 0 and not ended():
            pipeline_s = self.step_s * (1 - self._enough) - float(thresholds.waits_s[at])
            if pipeline_s < thresholds.pipeline_s[at]:
                return
            allowance = Allowance(waits_s=thresholds.limits_s(at), pipeline_s=pipeline_s)
            if grid is None:
                assert take is not None
                grid = decode(self.problem, fabric, take, allowance)
            repair = Repair(self.problem, grid, allowance, np.random.default_rng(seed))
            kept = repair.run(steps, budget)
            steps -= repair.steps + 1
            grid = repair.grid
            found_s = self._value_s(grid)
            if found_s < self.step_s * BELOW:
                self.step_s, self.grid = found_s, grid
            elif not kept or found_s >= self.step_s:
                return

    def _value_s(self, grid: NDArray[np.int64]) -> float:
        problem = self.problem
        if not problem.row_class_allowed[np.arange(problem.rows)[:, None], grid].all():
            return float("inf")
        return problem.pipeline_s(grid) + sum(wait_s(wait, grid) for wait in problem.waits)


def nodes_of(problem: PlacementProblem, grid: NDArray[np.int64]) -> NDArray[np.int64]:
    """The node at every position, [positions], for classes [rows, columns]: nodes of a class are
    taken in their own order."""
    order = np.empty(problem.positions, dtype=np.int64)
    classes = grid.ravel()
    for node_class in np.unique(classes):
        places = np.flatnonzero(classes == node_class)
        order[places] = np.flatnonzero(problem.node_class == node_class)[: len(places)]
    return order
