"""The cost of a placement after an exchange of two nodes, term by term.

An exchange touches at most two blocks of columns and two rows; the rest keeps its known cost.
`crowd` breaks ties between equal objectives: it is smaller where fewer blocks and hops are nearly
as slow as the slowest, so that a descent does not get stuck where several are equally slow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.problem.problem import PlacementProblem
    from planner.placement.problem.terms import Hops

STEEPNESS = 40.0
"""A part that is 1/STEEPNESS faster than the slowest counts 1/e of it."""


@dataclass(frozen=True, slots=True, eq=False)
class TermChange:
    """Seconds and crowd of a term after each exchange of one position's node. `own`: by the class
    that arrives, [K]; `theirs`: by the position that the node goes to, [rows, columns]; `rest`:
    what neither end touches."""

    own_s: NDArray[np.float64]
    theirs_s: NDArray[np.float64]
    rest_s: NDArray[np.float64]
    rest_of_left_out_s: float
    own_crowd: NDArray[np.float64]
    theirs_crowd: NDArray[np.float64]

    def after(
        self, classes: NDArray[np.int64], positions: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """[N], [N]: seconds and crowd by exchange partner, the unused nodes last."""
        seconds, crowd = self.own_s[classes], self.own_crowd[classes]
        crowd[:positions] += self.theirs_crowd.ravel()
        seconds[:positions] = np.maximum(
            seconds[:positions], np.maximum(self.theirs_s, self.rest_s).ravel()
        )
        seconds[positions:] = np.maximum(seconds[positions:], self.rest_of_left_out_s)
        return seconds, crowd


class Pipelines:
    """The pipelines of a grid of classes, by block of columns in lockstep."""

    def __init__(self, problem: PlacementProblem, grid: NDArray[np.int64]) -> None:
        self.problem, self.grid = problem, grid
        columns, lockstep = problem.columns, problem.lockstep
        shape = (problem.boundaries, columns // lockstep, lockstep)
        links = problem.links(grid).reshape(shape)
        self.links = links.max(axis=-1)
        self.others = _largest_without_each(links).reshape(problem.boundaries, columns)
        self.paths_s = self.links.T @ problem.path_links.T + problem.path_s
        self.blocks_s = self.paths_s.max(axis=-1)
        self.seconds = float(self.blocks_s.max())

    def change(self, row: int, column: int) -> TermChange:
        """The change for each partner of the node at a position; exact for partners in other
        blocks."""
        lockstep = self.problem.lockstep
        block = column // lockstep
        own = self._own(row, column)
        theirs = self._theirs(int(self.grid[row, column]))
        rest = np.repeat(_largest_without_two(self.blocks_s, block), lockstep)
        crowd = self._crowd(self.blocks_s)
        return TermChange(
            own_s=own,
            theirs_s=theirs,
            rest_s=np.broadcast_to(rest, theirs.shape),
            rest_of_left_out_s=float(np.delete(self.blocks_s, block).max(initial=-np.inf)),
            own_crowd=self._crowd(own) - crowd[block],
            theirs_crowd=self._crowd(theirs) - np.repeat(crowd, lockstep),
        )

    def _own(self, row: int, column: int) -> NDArray[np.float64]:
        """[K]: seconds of the position's block with each class at the position."""
        problem, block = self.problem, column // self.problem.lockstep
        paths = np.broadcast_to(self.paths_s[block], (problem.classes, len(problem.path_s)))
        before, after = (row - 1) % problem.rows, (row + 1) % problem.rows
        if before < problem.boundaries:
            arriving = problem.link_s[self.grid[before, column]]
            paths = paths + self._more(before, column, arriving)
        if row < problem.boundaries:
            leaving = problem.link_s[:, self.grid[after, column]]
            paths = paths + self._more(row, column, leaving)
        return np.asarray(paths.max(axis=-1))

    def _more(self, boundary: int, column: int, link_s: NDArray[np.float64]) -> NDArray[np.float64]:
        links = np.maximum(self.others[boundary, column], link_s)
        change = links - self.links[boundary, column // self.problem.lockstep]
        return np.asarray(change[:, None] * self.problem.path_links[:, boundary])

    def _theirs(self, node_class: int) -> NDArray[np.float64]:
        """[rows, columns]: seconds of each position's block with the class `node_class` at that
        position."""
        problem = self.problem
        paths = np.repeat(self.paths_s, problem.lockstep, axis=0)[None]
        paths = np.repeat(paths, problem.rows, axis=0)
        now = np.repeat(self.links, problem.lockstep, axis=1)
        boundaries = problem.boundaries
        below = np.roll(self.grid, -1, axis=0)[:boundaries]
        arriving = np.maximum(self.others, problem.link_s[self.grid[:boundaries], node_class]) - now
        leaving = np.maximum(self.others, problem.link_s[node_class, below]) - now
        receivers = (np.arange(boundaries) + 1) % problem.rows
        paths[receivers] += arriving[:, :, None] * problem.path_links.T[:, None, :]
        paths[:boundaries] += leaving[:, :, None] * problem.path_links.T[:, None, :]
        return np.asarray(paths.max(axis=-1))

    def _crowd(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        return _crowd(seconds, self.seconds)


class Rings:
    """The rings of one family on a grid of classes, row by row."""

    def __init__(self, hops: Hops, grid: NDArray[np.int64]) -> None:
        self.hops, self.grid = hops, grid
        self.each = hops.each(grid)
        self.slowest = self.each.max(axis=-1, initial=0.0)
        self.without = self._without()

    def _without(self) -> NDArray[np.float64]:
        """[rows, columns]: the slowest hop that does not touch a column."""
        hops = self.hops
        most = int(hops.touches.sum(axis=1).max(initial=0)) + 1
        first = np.argsort(-self.each, axis=1, kind="stable")[:, :most]
        seconds = np.take_along_axis(self.each, first, axis=1)[:, None, :]
        touched = hops.touches.T[first].transpose(0, 2, 1)
        return np.asarray(np.where(touched, 0.0, seconds).max(axis=-1, initial=0.0))

    def own(self, row: int, column: int) -> NDArray[np.float64]:
        """[K]: the slowest hop at a position, with each class there."""
        hops = self.hops
        to = hops.sends_to[column]
        of = hops.receives_from[column]
        leaving = hops.seconds[:, self.grid[row, to[to >= 0]]].max(axis=1, initial=0.0)
        reaching = hops.seconds[self.grid[row, of[of >= 0]]].max(axis=0, initial=0.0)
        return np.asarray(np.maximum(leaving, reaching))

    def theirs(self, node_class: int) -> NDArray[np.float64]:
        """[rows, columns]: the slowest hop at every position, with the class `node_class` there."""
        hops, grid = self.hops, self.grid
        leaving = hops.seconds[node_class, grid[:, hops.sends_to]]
        reaching = hops.seconds[grid[:, hops.receives_from], node_class]
        to = np.where(hops.sends_to >= 0, leaving, 0.0).max(axis=-1, initial=0.0)
        of = np.where(hops.receives_from >= 0, reaching, 0.0).max(axis=-1, initial=0.0)
        return np.asarray(np.maximum(to, of))

    def now(self) -> NDArray[np.float64]:
        """[rows, columns]: the slowest hop at every position."""
        touching = np.where(self.hops.touches[None], self.each[:, None, :], 0.0)
        return np.asarray(touching.max(axis=-1, initial=0.0))


class Waiting:
    """One wait on a grid of classes."""

    def __init__(
        self,
        problem: PlacementProblem,
        families: tuple[Hops, ...],
        hidden_s: NDArray[np.float64],
        grid: NDArray[np.int64],
    ) -> None:
        self.problem, self.hidden_s, self.grid = problem, hidden_s, grid
        self.rings = [Rings(hops, grid) for hops in families]
        self.rows_s = -hidden_s
        for ring in self.rings:
            self.rows_s = self.rows_s + ring.slowest * ring.hops.scale
        self.seconds = max(0.0, float(self.rows_s.max()))

    def change(self, row: int, column: int) -> TermChange:
        """The change for each partner of the node at a position; exact for partners in other
        rows."""
        node_class = int(self.grid[row, column])
        own_s = np.full(self.problem.classes, -self.hidden_s[row])
        theirs_s = np.repeat(-self.hidden_s[:, None], self.grid.shape[1], axis=1)
        own_crowd, theirs_crowd = np.zeros(len(own_s)), np.zeros(self.grid.shape)
        for ring in self.rings:
            scale, hidden_s = ring.hops.scale, self.hidden_s
            own, theirs, now = ring.own(row, column), ring.theirs(node_class), ring.now()
            own_s = own_s + scale[row] * np.maximum(own, ring.without[row, column])
            theirs_s = theirs_s + scale[:, None] * np.maximum(theirs, ring.without)
            crowd = self._crowd(scale[:, None] * now - hidden_s[:, None])
            own_crowd = own_crowd + self._crowd(scale[row] * own - hidden_s[row])
            own_crowd = own_crowd - crowd[row, column]
            theirs_crowd += self._crowd(scale[:, None] * theirs - hidden_s[:, None]) - crowd
        rest = np.broadcast_to(_largest_without_two(self.rows_s, row)[:, None], self.grid.shape)
        return TermChange(
            own_s=np.maximum(0.0, own_s),
            theirs_s=np.maximum(0.0, theirs_s),
            rest_s=np.maximum(0.0, rest),
            rest_of_left_out_s=max(0.0, float(np.delete(self.rows_s, row).max(initial=-np.inf))),
            own_crowd=own_crowd,
            theirs_crowd=theirs_crowd,
        )

    def _crowd(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        return _crowd(seconds, self.seconds)

    def slow_columns(self, row: int) -> NDArray[np.int64]:
        """Columns at the slowest hop of each family in the row."""
        found = []
        for ring in self.rings:
            if len(ring.hops.sender):
                hop = int(ring.each[row].argmax())
                found += [ring.hops.sender[hop], ring.hops.receiver[hop]]
        return np.unique(np.array(found, dtype=np.int64))


def _crowd(seconds: NDArray[np.float64], slowest_s: float) -> NDArray[np.float64]:
    """How crowded it is near the slowest; 0 where nothing takes time."""
    if slowest_s <= 0:
        return np.zeros_like(seconds)
    ratio = seconds / slowest_s
    return np.asarray(np.exp(np.clip(STEEPNESS * (ratio - 1), -50.0, 10.0)))


def _largest_without_each(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[…, n]: the largest of the other values, 0 where there are none."""
    if values.shape[-1] == 1:
        return np.zeros_like(values)
    ranked = np.sort(values, axis=-1)
    largest, second = ranked[..., -1:], ranked[..., -2:-1]
    first = np.arange(values.shape[-1]) == values.argmax(axis=-1)[..., None]
    return np.where(first, second, largest)


def _largest_without_two(values: NDArray[np.float64], one: int) -> NDArray[np.float64]:
    """[n]: the largest value apart from those at `one` and at each index; −inf where none is
    left."""
    left = values.copy()
    left[one] = -np.inf
    if len(left) == 1:
        return left
    return _largest_without_each(left)
