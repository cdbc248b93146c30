"""Searches for a placement within an allowance for waits and pipelines.

Each move takes one position at fault and exchanges it with the position, or the spare node, that
leaves the least excess (min-conflicts: Minton et al. 1992). A class that moved does not move back
for a while (tabu search: Glover 1989). Positions hold classes, since the nodes of a class are
alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.placement.classes.faults import BANNED, TOLERANCE, excess, hop_faults

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.placement.classes.faults import Allowance
    from planner.placement.problem.problem import PlacementProblem

TENURE = 8
"""Fewest moves for which a class does not return to a position."""
TENURE_MORE = 10
"""Up to this many moves, drawn at random, are added to `TENURE`."""
SLOW_SHARE = 0.6
"""On a slow pipeline's path, a link is at fault when it adds at least this share of what the path's
slowest link adds."""


class Repair:
    """The search's state: a grid of classes, int [rows, columns], the spare nodes of each class,
    and the excess."""

    def __init__(
        self,
        problem: PlacementProblem,
        grid: NDArray[np.int64],
        allowance: Allowance,
        rng: np.random.Generator,
    ) -> None:
        self.problem, self.allowance, self.rng = problem, allowance, rng
        self.grid = grid.copy()
        nodes = np.bincount(problem.node_class, minlength=problem.classes)
        self.spare = nodes - np.bincount(grid.ravel(), minlength=problem.classes)
        self.steps = 0
        self._families = hop_faults(problem, allowance)
        self._group = np.arange(problem.columns) // problem.lockstep
        self._moved = np.zeros((problem.rows, problem.columns, problem.classes), dtype=np.int64)
        none = np.zeros((1, len(problem.path_s)))
        self._arriving = np.concatenate((none, problem.path_links.T))
        self._leaving = np.concatenate((problem.path_links.T, none))
        self._refresh()

    def run(self, steps: int, budget: Budget = UNLIMITED) -> bool:
        """Make at most `steps` moves; returns whether the allowance is met. The grid is then the
        one with the least excess."""
        least, grid, spare = self.excess, self.grid.copy(), self.spare.copy()
        for _ in range(steps):
            if self.excess <= TOLERANCE or budget.late:
                break
            self.steps += 1
            self._move(least)
            if self.excess < least - TOLERANCE:
                least, grid, spare = self.excess, self.grid.copy(), self.spare.copy()
        self.grid, self.spare = grid, spare
        self._refresh()
        return self.excess <= TOLERANCE

    def _refresh(self) -> None:
        problem, grid = self.problem, self.grid
        self._links = problem.link_s[grid[:-1], grid[1:]]
        grouped = self._links.reshape(problem.rows - 1, self._group[-1] + 1, problem.lockstep)
        self._slowest = grouped.max(axis=-1)
        self._paths = problem.path_s[:, None] + problem.path_links @ self._slowest
        self._slow = excess(self._paths.max(axis=0), self.allowance.pipeline_s)
        self._hops = [family.of(grid) for family in self._families]
        self._banned = ~problem.row_class_allowed[np.arange(problem.rows)[:, None], grid]
        hops = sum(float(counts.sum()) for counts in self._hops)
        self.excess = float(self._slow.sum()) + hops + BANNED * int(self._banned.sum())

    # ------------------------------------------------------------------ moves

    def _move(self, least: float) -> None:
        """Exchange a position at fault where that leaves the least excess; a barred move must leave
        less than the least excess so far."""
        faulty = np.argwhere(self._at_fault())
        row, column = (int(index) for index in faulty[self.rng.integers(len(faulty))])
        mine = int(self.grid[row, column])
        swaps, spares = self._changes(row, column)
        barred = (self._moved[row, column][self.grid] > self.steps) | (
            self._moved[:, :, mine] > self.steps
        )
        swaps[barred & (self.excess + swaps >= least - TOLERANCE)] = np.inf
        best = int((swaps + 1e-6 * self.rng.random(swaps.shape)).argmin())
        other = divmod(best, self.problem.columns)
        until = self.steps + TENURE + int(self.rng.integers(TENURE_MORE))
        spare = int(spares.argmin())
        if spares[spare] < swaps[other]:
            self.grid[row, column] = spare
            self.spare[spare] -= 1
            self.spare[mine] += 1
        elif np.isfinite(swaps[other]):
            theirs = int(self.grid[other])
            self.grid[row, column], self.grid[other] = theirs, mine
            self._moved[(*other, theirs)] = until
        else:
            return
        self._moved[row, column, mine] = until
        self._refresh()

    def _at_fault(self) -> NDArray[np.bool_]:
        """[rows, columns]: positions at the ends of hops, or of slow links of pipelines, over their
        limits."""
        faulty = self._banned.copy()
        for family, counts in zip(self._families, self._hops, strict=True):
            row, column = np.nonzero(counts)
            faulty[row, column] = True
            faulty[row, family.after[column]] = True
        for group in np.flatnonzero(self._slow):
            path = int(self._paths[:, group].argmax())
            adds = self.problem.path_links[path] * self._slowest[:, group]
            slow = np.flatnonzero(adds >= SLOW_SHARE * adds.max(initial=0.0))
            columns = np.flatnonzero(self._group == group)
            faulty[np.ix_(slow, columns)] = True
            faulty[np.ix_(slow + 1, columns)] = True
        if not faulty.any():
            faulty[:] = True
        return faulty

    def _changes(self, row: int, column: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Change of the excess when a position's class is exchanged for that of every position,
        [rows, columns], or for a spare node of every class, [K]; infinite where nothing would
        change."""
        problem, grid = self.problem, self.grid
        mine = int(grid[row, column])
        here = self._with_each_class(row, column)
        swaps = here[grid] + self._with_class(mine)
        for place in self._entangled(row, column):
            swaps[place] = self._swapped(row, column, *place)
        swaps[grid == mine] = np.inf
        spares = np.where(self.spare > 0, here, np.inf)
        spares[mine] = np.inf
        assert swaps.shape == (problem.rows, problem.columns)
        return swaps, spares

    def _with_each_class(self, row: int, column: int) -> NDArray[np.float64]:
        """[K]: change of the excess with each class at the position and everything else
        unchanged."""
        problem, grid = self.problem, self.grid
        mine, group = int(grid[row, column]), int(self._group[column])
        change = BANNED * (0.0 + ~problem.row_class_allowed[row] - self._banned[row, column])
        for family in self._families:
            table = family.excess[row]
            before, after = family.before[column], family.after[column]
            if after != column:
                by_class = table[grid[row, before]] + table[:, grid[row, after]]
                change = change + by_class - by_class[mine]
        paths = np.broadcast_to(self._paths[:, group], (problem.classes, len(problem.path_s)))
        others = (self._group == group) & (np.arange(problem.columns) != column)
        for boundary, link_s in self._own_links(row, column):
            slowest = np.maximum(link_s, self._links[boundary, others].max(initial=0.0))
            more = slowest - self._slowest[boundary, group]
            paths = paths + more[:, None] * problem.path_links[:, boundary]
        slow = excess(paths.max(axis=1), self.allowance.pipeline_s) - self._slow[group]
        return np.asarray(change + slow)

    def _own_links(self, row: int, column: int) -> list[tuple[int, NDArray[np.float64]]]:
        """For each boundary that a position's node sends or receives over: seconds by the node's
        class."""
        problem, grid = self.problem, self.grid
        found = []
        if row > 0:
            found.append((row - 1, problem.link_s[grid[row - 1, column]]))
        if row < problem.rows - 1:
            found.append((row, problem.link_s[:, grid[row + 1, column]]))
        return found

    def _with_class(self, mine: int) -> NDArray[np.float64]:
        """[rows, columns]: change of the excess with the class `mine` at each position and
        everything else unchanged."""
        problem, grid = self.problem, self.grid
        change = BANNED * (0.0 + ~problem.row_class_allowed[:, [mine]] - self._banned)
        rows = np.arange(problem.rows)[:, None]
        for family, counts in zip(self._families, self._hops, strict=True):
            before, after = family.before, family.after
            now = counts[:, before] + counts
            new = family.excess[rows, grid[:, before], mine]
            new = new + family.excess[rows, mine, grid[:, after]]
            change = change + np.where(after == np.arange(problem.columns), 0.0, new - now)
        slowest, others = self._slowest[:, self._group], self._others_slowest()
        arriving = np.zeros((problem.rows, problem.columns))
        leaving = np.zeros((problem.rows, problem.columns))
        arriving[1:] = np.maximum(problem.link_s[grid[:-1], mine], others) - slowest
        leaving[:-1] = np.maximum(problem.link_s[mine, grid[1:]], others) - slowest
        paths = self._paths.T[self._group]
        paths = paths + arriving[:, :, None] * self._arriving[:, None]
        paths = paths + leaving[:, :, None] * self._leaving[:, None]
        slow = excess(paths.max(axis=2), self.allowance.pipeline_s)
        return np.asarray(change + slow - self._slow[self._group])

    def _others_slowest(self) -> NDArray[np.float64]:
        """[rows − 1, columns]: the slowest link among the other columns in lockstep."""
        problem = self.problem
        if problem.lockstep == 1:
            return np.zeros_like(self._links)
        links = self._links.reshape(problem.rows - 1, self._group[-1] + 1, problem.lockstep)
        ranked = np.sort(links, axis=-1)
        first = np.arange(problem.lockstep) == links.argmax(axis=-1)[..., None]
        return np.where(first, ranked[..., -2:-1], ranked[..., -1:]).reshape(self._links.shape)

    def _entangled(self, row: int, column: int) -> set[tuple[int, int]]:
        """Positions that share a pipeline or a hop with the given one."""
        together = np.flatnonzero(self._group == self._group[column]).tolist()
        found = {(other, near) for other in range(self.problem.rows) for near in together}
        for family in self._families:
            found |= {(row, int(family.before[column])), (row, int(family.after[column]))}
        return found - {(row, column)}

    def _swapped(self, row: int, column: int, other_row: int, other_column: int) -> float:
        """Change of the excess when two positions are exchanged, even where they share pipelines or
        hops."""
        problem = self.problem
        columns = [column, other_column]
        grid = self.grid.copy()
        grid[row, column], grid[other_row, other_column] = (
            grid[other_row, other_column],
            grid[row, column],
        )
        change = 0.0
        for family, counts in zip(self._families, self._hops, strict=True):
            sending = np.unique([*columns, *family.before[columns]])
            for at in {row, other_row}:
                hops = family.at(np.array(at), grid, sending)
                change += float(hops.sum() - counts[at, sending].sum())
        for group in np.unique(self._group[columns]):
            part = grid[:, self._group == group]
            links = problem.link_s[part[:-1], part[1:]].max(axis=1, initial=0.0)
            seconds = problem.path_s + problem.path_links @ links
            slow = excess(seconds.max(keepdims=True), self.allowance.pipeline_s)
            change += float(slow[0] - self._slow[group])
        for at, near in ((row, column), (other_row, other_column)):
            allowed = problem.row_class_allowed[at, grid[at, near]]
            change += BANNED * float(~allowed) - BANNED * float(self._banned[at, near])
        return change
