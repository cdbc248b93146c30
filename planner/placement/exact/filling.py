"""Fills the positions of partial placements one after another, and bounds the results."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.placement.bounds.reach import between_two_nodes, cheapest_hops, link_range, walks
from planner.placement.exact.partial import Partial
from planner.placement.problem.symmetry import smaller_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.exact.partial import Floors
    from planner.placement.problem.terms import Hops, Terms


class Filling:
    """Fills positions one after another, in the order of `floors.cells`."""

    def __init__(self, terms: Terms, floors: Floors) -> None:
        self.terms, self.floors = terms, floors
        self.problem = problem = terms.problem
        self.nodes = len(problem.node_class)
        self.families: list[Hops] = [hops for families in terms.waits for hops in families]
        self.cells = floors.cells
        self.step_of = np.empty((problem.rows, problem.columns), dtype=np.int64)
        for step, cell in enumerate(floors.cells):
            self.step_of[cell] = step
        self.smaller = smaller_columns(terms)
        self.earlier_alike = _earlier_alike(problem.node_class)
        self.allowed = problem.row_class_allowed[:, problem.node_class]
        apart = between_two_nodes(problem.node_class, problem.classes)
        self.cheapest_link_s, self.dearest_link_s = link_range(terms, apart)
        self.walks_s = walks(terms, apart)
        hops_s = [cheapest_hops(hops, apart, problem.row_class_allowed) for hops in self.families]
        self.cheapest_hop_s = np.array(hops_s).reshape(len(self.families), problem.rows)

    def empty(self) -> Partial:
        problem = self.problem
        blocks = problem.columns // problem.lockstep
        return Partial(
            cells=np.zeros((1, problem.positions), dtype=np.int8),
            used=np.zeros(1, dtype=np.int64),
            links_s=np.repeat(self.cheapest_link_s[None, :, None], blocks, axis=2),
            hops_s=self.cheapest_hop_s[None],
            pipeline_s=np.array([self.floors.pipeline_s]),
            waits_s=self.floors.waits_s[None],
        )

    def filled(self, partial: Partial, step: int, limit_s: float) -> Partial:
        """All ways to fill the next position with a bound below `limit_s`."""
        row, column = self.cells[step]
        fits = self._fitting(partial, step)
        hops_s = self._hops(partial, step)
        waits_s = self._waits(partial, hops_s, row)
        bound_s = partial.pipeline_s[:, None] + sum(waits_s, np.zeros(fits.shape))
        parent, node = np.nonzero(fits & (bound_s < limit_s))
        links_s, pipeline_s = self._pipeline(partial, step, parent, node)
        waits = np.stack([each[parent, node] for each in waits_s], axis=1) if waits_s else None
        waits = partial.waits_s[parent] if waits is None else waits
        used = partial.used[parent] | (1 << node)
        waits, pipeline_s = self._with_rest(used, waits, pipeline_s, row, column)
        kept = np.flatnonzero(pipeline_s + waits.sum(axis=1) < limit_s)
        parent, node = parent[kept], node[kept]
        cells = partial.cells[parent]
        cells[:, row * self.problem.columns + column] = node
        hops = partial.hops_s[parent]
        for family, seconds in enumerate(hops_s):
            hops[:, family, row] = seconds[parent, node]
        children = Partial(
            cells=cells,
            used=used[kept],
            links_s=links_s[kept],
            hops_s=hops,
            pipeline_s=pipeline_s[kept],
            waits_s=waits[kept],
        )
        return self._completed(children, row, column, limit_s)

    def _completed(self, partial: Partial, row: int, column: int, limit_s: float) -> Partial:
        """After a whole row: the partial placements whose columns can end below `limit_s`."""
        problem, completions = self.problem, self.floors.completions
        if completions is None or column < problem.columns - 1 or row == problem.rows - 1:
            return partial
        seconds = completions.pipeline_s(
            row,
            (1 << self.nodes) - 1 - partial.used,
            partial.cells[:, row * problem.columns : (row + 1) * problem.columns].astype(np.int64),
            np.repeat(partial.links_s[:, :row], problem.lockstep, axis=2),
        )
        raised = replace(partial, pipeline_s=np.maximum(partial.pipeline_s, seconds))
        return raised.at(raised.bound_s < limit_s)

    def _fitting(self, partial: Partial, step: int) -> NDArray[np.bool_]:
        """Bool [n, N]: nodes that the row allows, that are free, the first of their class, and in
        order."""
        row, column = self.cells[step]
        node = np.arange(self.nodes)
        used = partial.used[:, None]
        fits = ((used >> node) & 1 == 0) & (used & self.earlier_alike == self.earlier_alike)
        fits &= self.allowed[row]
        if row == 0:
            for other in self.smaller[column]:
                fits &= partial.cells[:, other, None] < node
        return np.asarray(fits)

    def _hops(self, partial: Partial, step: int) -> list[NDArray[np.float64]]:
        """For each family, [n, N]: the slowest hop of the row with each node at the position."""
        row, column = self.cells[step]
        classes = self.problem.node_class
        found = []
        for family, hops in enumerate(self.families):
            slowest = np.repeat(partial.hops_s[:, family, row, None], self.nodes, axis=1)
            for partners, senders in ((hops.sends_to, True), (hops.receives_from, False)):
                for other in partners[column]:
                    if other < 0 or self.step_of[row, other] > step:
                        continue
                    there = classes[partial.cells[:, row * self.problem.columns + other]]
                    between = hops.seconds.T if senders else hops.seconds
                    slowest = np.maximum(slowest, between[there][:, classes])
            found.append(slowest)
        return found

    def _waits(
        self, partial: Partial, hops_s: list[NDArray[np.float64]], row: int
    ) -> list[NDArray[np.float64]]:
        found, family = [], 0
        for number, (wait, hops) in enumerate(
            zip(self.problem.waits, self.terms.waits, strict=True)
        ):
            seconds: NDArray[np.float64] = np.full((1, self.nodes), -wait.hidden_s[row])
            for each in hops:
                seconds = seconds + each.scale[row] * hops_s[family]
                family += 1
            found.append(np.maximum(partial.waits_s[:, number, None], seconds))
        return found

    def _pipeline(
        self,
        partial: Partial,
        step: int,
        parent: NDArray[np.int64],
        node: NDArray[np.int64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Links of the children, and the bounds on their pipelines."""
        problem = self.problem
        row, column = self.cells[step]
        block = column // problem.lockstep
        node_class = problem.node_class[node]
        links_s = partial.links_s[parent]
        if row > 0:
            above = partial.cells[parent, (row - 1) * problem.columns + column]
            link_s = problem.link_s[problem.node_class[above], node_class]
            links_s[:, row - 1, block] = np.maximum(links_s[:, row - 1, block], link_s)
        paths_s = links_s[:, :row, block] @ problem.path_links[:, :row].T
        paths_s = paths_s + problem.path_s + self.walks_s[row][node_class]
        return links_s, np.maximum(partial.pipeline_s[parent], paths_s.max(axis=1))

    def _with_rest(
        self,
        used: NDArray[np.int64],
        waits_s: NDArray[np.float64],
        pipeline_s: NDArray[np.float64],
        row: int,
        column: int,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The bounds after a whole row or column, raised by the best that the unused nodes can
        still do."""
        unused = (1 << self.nodes) - 1 - used
        if self.floors.waits_left is not None and column == self.problem.columns - 1:
            left = np.stack([each[unused] for each in self.floors.waits_left], axis=1)
            waits_s = np.maximum(waits_s, left)
        if self.floors.pipeline_left is not None and row == self.problem.rows - 1:
            pipeline_s = np.maximum(pipeline_s, self.floors.pipeline_left[unused])
        return waits_s, pipeline_s


def _earlier_alike(node_class: NDArray[np.int64]) -> NDArray[np.int64]:
    """[N]: the previous node of the same class, as a bit; 0 for the first."""
    last: dict[int, int] = {}
    found = np.zeros(len(node_class), dtype=np.int64)
    for node, kind in enumerate(node_class.tolist()):
        found[node] = 1 << last[kind] if kind in last else 0
        last[kind] = node
    return found
