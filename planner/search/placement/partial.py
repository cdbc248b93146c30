"""Placements filled up to one position, many at a time, and what bounds them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.search.placement.symmetry import smaller_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.search.placement.completions import Completions
    from planner.search.placement.terms import Hops, Terms


@dataclass(frozen=True, slots=True, eq=False)
class Partial:
    """n placements filled up to the same position. `cells` int8 [n, positions]; `used` [n] nodes as
    bits; `links_s` [n, rows − 1, blocks] slowest link so far, at least the cheapest there is;
    `hops_s` [n, families, rows] likewise; `pipeline_s` [n] and `waits_s` [n, waits] bounds."""

    cells: NDArray[np.int8]
    used: NDArray[np.int64]
    links_s: NDArray[np.float64]
    hops_s: NDArray[np.float64]
    pipeline_s: NDArray[np.float64]
    waits_s: NDArray[np.float64]

    @property
    def bound_s(self) -> NDArray[np.float64]:
        return np.asarray(self.pipeline_s + self.waits_s.sum(axis=1))

    def __len__(self) -> int:
        return len(self.used)

    def at(self, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Partial:
        return Partial(*(getattr(self, field.name)[index] for field in fields(self)))


def joined(parts: Sequence[Partial]) -> Partial:
    return Partial(
        *(
            np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Partial)
        )
    )


@dataclass(frozen=True, slots=True, eq=False)
class Floors:
    """Seconds that no placement is below: of the pipelines, and of each wait. `waits_left` and
    `pipeline_left` tell the same of what is still empty after a row, or a column, by the set of
    unused nodes, [2^N]; `cells` is the order in which positions are filled."""

    pipeline_s: float
    waits_s: NDArray[np.float64]
    cells: tuple[tuple[int, int], ...]
    waits_left: tuple[NDArray[np.float64], ...] | None
    pipeline_left: NDArray[np.float64] | None
    completions: Completions | None


class Filling:
    """Fills positions one after another."""

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
        self.cheapest_link_s, self.dearest_link_s = _link_range(terms, apart)
        self.walks_s = _walks(terms, apart)
        self.cheapest_hop_s = np.array(
            [
                [_cheapest_hop(hops, apart, problem.row_class_allowed[row]) for row in rows]
                for hops in self.families
                for rows in [range(problem.rows)]
            ]
        ).reshape(len(self.families), problem.rows)

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
        """Those whose columns can end below `limit_s`, after a whole row."""
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
        """Bool [n, N]: nodes of the row that are free, the first of their kind, and in order."""
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
        """For each family [n, N]: the slowest hop of the row with each node at the position."""
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
        """Links and the pipelines' bound of the children."""
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
        """The bounds raised by what the unused nodes can still do, after a whole row or column."""
        unused = (1 << self.nodes) - 1 - used
        if self.floors.waits_left is not None and column == self.problem.columns - 1:
            left = np.stack([each[unused] for each in self.floors.waits_left], axis=1)
            waits_s = np.maximum(waits_s, left)
        if self.floors.pipeline_left is not None and row == self.problem.rows - 1:
            pipeline_s = np.maximum(pipeline_s, self.floors.pipeline_left[unused])
        return waits_s, pipeline_s


def _earlier_alike(node_class: NDArray[np.int64]) -> NDArray[np.int64]:
    """[N]: the node before each of its class, as a bit; 0 for the first."""
    last: dict[int, int] = {}
    found = np.zeros(len(node_class), dtype=np.int64)
    for node, kind in enumerate(node_class.tolist()):
        found[node] = 1 << last[kind] if kind in last else 0
        last[kind] = node
    return found


def between_two_nodes(node_class: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """Bool [K, K]: pairs of classes that two nodes have."""
    count = np.bincount(node_class, minlength=classes)
    present = (count[:, None] > 0) & (count > 0)
    return np.asarray(present & ~(np.eye(classes, dtype=bool) & (count < 2)))


def _link_range(
    terms: Terms, apart: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[rows − 1] each: cheapest and dearest link of every boundary."""
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


def _walks(terms: Terms, apart: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """For each row [K, paths]: the least that the links below it add when a class stands there."""
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


def _cheapest_hop(hops: Hops, apart: NDArray[np.bool_], allowed: NDArray[np.bool_]) -> float:
    if not len(hops.sender):
        return 0.0
    return float(hops.seconds[apart & allowed[:, None] & allowed].min(initial=np.inf))
