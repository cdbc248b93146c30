"""Turns an assignment (how many nodes of each cell each row takes) into a grid of classes.

Pipelines are built row by row. Each continues in the block of its last node while that block has
nodes left for the row, else in the smallest enclosing block that has. The pipelines are then
ordered so that hops between neighbours exceed the allowance least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.placement.classes.fabric import common_level
from planner.placement.classes.faults import hop_faults

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.classes.fabric import NestedBlocks
    from planner.placement.classes.faults import Allowance
    from planner.placement.problem.problem import PlacementProblem

MOVED_TOGETHER = 3
"""Most neighbouring columns that are moved to another place in the order at once."""


def decode(
    problem: PlacementProblem, fabric: NestedBlocks, take: NDArray[np.int64], allowance: Allowance
) -> NDArray[np.int64]:
    """The class at every position, [rows, columns], where `take` [rows, C] gives the nodes of each
    cell in each row."""
    grid = _classes(problem, fabric, _pipelines(problem, fabric, take))
    faults = np.zeros((problem.columns, problem.columns))
    for family in hop_faults(problem, allowance):
        for row, classes in enumerate(grid):
            faults += family.excess[row][np.ix_(classes, classes)]
    return grid[:, column_order(faults)]


def _pipelines(
    problem: PlacementProblem, fabric: NestedBlocks, take: NDArray[np.int64]
) -> NDArray[np.int64]:
    """[rows, columns]: cells. The pipelines with the slowest links choose first."""
    level = common_level(fabric.block)
    level[np.arange(fabric.cells), np.arange(fabric.cells)] = -1
    by_block = np.lexsort(tuple(fabric.block))
    cells = np.empty((problem.rows, problem.columns), dtype=np.int64)
    cells[0] = np.repeat(by_block, take[0, by_block])
    seconds = np.zeros(problem.columns)
    for row in range(1, problem.rows):
        left = take[row].copy()
        chosen = np.full(problem.columns, -1)
        for reach in range(-1, fabric.levels + 1):
            for column in np.lexsort((np.arange(problem.columns), -seconds)):
                near = np.flatnonzero((level[cells[row - 1, column]] <= reach) & (left > 0))
                if chosen[column] < 0 and len(near):
                    in_block = [left[fabric.block[0] == fabric.block[0, k]].sum() for k in near]
                    chosen[column] = near[np.lexsort((-left[near], -np.array(in_block)))[0]]
                    left[chosen[column]] -= 1
        before, cells[row] = cells[row - 1], chosen
        crossed = np.maximum(level[before, chosen], 0)
        link_s = fabric.link_s[crossed, fabric.quality[before], fabric.quality[chosen]]
        seconds += np.where(np.isfinite(link_s), link_s, 0.0)
    return cells


def _classes(
    problem: PlacementProblem, fabric: NestedBlocks, cells: NDArray[np.int64]
) -> NDArray[np.int64]:
    """[rows, columns]: for each cell a class that has nodes left, if possible one that the row
    allows."""
    left = np.bincount(problem.node_class, minlength=problem.classes)
    grid = np.empty_like(cells)
    for place, cell in np.ndenumerate(cells):
        members = np.flatnonzero((fabric.cell_of_class == cell) & (left > 0))
        allowed = problem.row_class_allowed[place[0], members]
        grid[place] = members[allowed.argmax()]
        left[grid[place]] -= 1
    return grid


def column_order(faults: NDArray[np.float64]) -> NDArray[np.int64]:
    """A cyclic order with small `faults` [columns, columns] between neighbours: built by going to
    the nearest column left, then improved by moving a few neighbours at a time while that helps."""
    order = [0]
    left = list(range(1, len(faults)))
    while left:
        order.append(left.pop(int(faults[order[-1], left].argmin())))
    tour = np.array(order)
    while (better := _moved(tour, faults)) is not None:
        tour = better
    return tour


def _moved(tour: NDArray[np.int64], faults: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """The first better tour in which some neighbours move elsewhere, in their order or reversed."""
    now = float(faults[tour, np.roll(tour, -1)].sum())
    for start in range(len(tour)):
        for size in range(1, min(MOVED_TOGETHER, len(tour) - start, len(tour) - 2) + 1):
            rest = np.delete(tour, np.arange(start, start + size))
            after = np.roll(rest, -1)
            base = float(faults[rest, after].sum())
            part = tour[start : start + size]
            for moved in (part, part[::-1]):
                added = faults[rest, moved[0]] + faults[moved[-1], after] - faults[rest, after]
                at = int(added.argmin())
                inside = float(faults[moved[:-1], moved[1:]].sum())
                if base + inside + added[at] < now - 1e-9:
                    return np.concatenate((rest[: at + 1], moved, rest[at + 1 :]))
    return None
