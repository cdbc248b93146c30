"""A placement, and its cost after exchanging one node with every other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.placement.local.changes import Pipelines, Waiting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.problem.terms import Terms


class Swaps:
    """A placement, int [N]: the nodes at the positions, then the unused nodes."""

    def __init__(self, terms: Terms, order: NDArray[np.int64]) -> None:
        self.terms, self.problem = terms, terms.problem
        self.order = order.copy()
        self._refresh()

    def _refresh(self) -> None:
        problem = self.problem
        self.classes = problem.node_class[self.order]
        self.grid = self.classes[: problem.positions].reshape(problem.rows, problem.columns)
        self.pipelines = Pipelines(problem, self.grid)
        self.waits = [
            Waiting(problem, families, wait.hidden_s, self.grid)
            for families, wait in zip(self.terms.waits, problem.waits, strict=True)
        ]
        self.objective_s = self.pipelines.seconds + sum(wait.seconds for wait in self.waits)

    def exchange(self, place: int, partner: int) -> None:
        self.order[[place, partner]] = self.order[[partner, place]]
        self._refresh()

    def replace(self, order: NDArray[np.int64]) -> None:
        self.order = order
        self._refresh()

    def critical_places(self) -> NDArray[np.int64]:
        """Positions of which at least one must change for a lower objective: those of the slowest
        block, and those at the slowest hops of each wait's slowest row."""
        problem = self.problem
        places = np.arange(problem.positions).reshape(problem.rows, problem.columns)
        first = int(self.pipelines.blocks_s.argmax()) * problem.lockstep
        found = [places[:, first : first + problem.lockstep].ravel()] if problem.rows > 1 else []
        for wait in self.waits:
            row = int(wait.rows_s.argmax())
            if wait.rows_s[row] > 0:
                found.append(places[row, wait.slow_columns(row)])
        return np.unique(np.concatenate(found)) if found else places.ravel()

    def neighbours(self, place: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """[N], [N]: the objective, and the change of crowd, after exchanging the node at a position
        with that at every other place."""
        problem, positions = self.problem, self.problem.positions
        row, column = divmod(place, problem.columns)
        objective, crowd = np.zeros(len(self.order)), np.zeros(len(self.order))
        terms: tuple[Pipelines | Waiting, ...] = (self.pipelines, *self.waits)
        for term in terms:
            seconds, slow = term.change(row, column).after(self.classes, positions)
            objective += seconds
            crowd += slow
        fits = problem.row_class_allowed[row, self.classes].copy()
        fits[:positions] &= np.repeat(
            problem.row_class_allowed[:, self.classes[place]], problem.columns
        )
        objective[~fits] = np.inf
        near = np.zeros((problem.rows, problem.columns), dtype=bool)
        first = column // problem.lockstep * problem.lockstep
        near[:, first : first + problem.lockstep] = True
        near[row] = True
        partners = np.flatnonzero(near.ravel())
        objective[partners], crowd[partners] = self._exactly(place, partners), 0.0
        return objective, crowd

    def _exactly(self, place: int, partners: NDArray[np.int64]) -> NDArray[np.float64]:
        """Objectives of exchanges whose two ends touch the same row or block."""
        grids = np.repeat(self.grid.reshape(1, -1), len(partners), axis=0)
        grids[:, place] = grids[0, partners]
        grids[np.arange(len(partners)), partners] = self.grid.ravel()[place]
        shape = (len(partners), self.problem.rows, self.problem.columns)
        return self.terms.objectives_s(grids.reshape(shape))
