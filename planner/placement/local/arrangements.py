"""Moves of many nodes at once, given as orders of the positions that the nodes come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from planner.placement.problem.problem import PlacementProblem


def arrangements(
    problem: PlacementProblem,
    places: NDArray[np.int64],
    rng: np.random.Generator,
    count: int,
) -> NDArray[np.int64]:
    """Int [count, positions]: in each move, position i takes the node of position [·, i]. Every
    move starts at one of `places`."""
    grid = np.arange(problem.positions).reshape(problem.rows, problem.columns)
    moves: list[Callable[..., NDArray[np.int64]]] = [_blocks_exchanged]
    if problem.columns > 2:
        moves += [_columns_reordered, _row_reordered]
    if problem.rows > 1:
        moves += [_rows_reordered, _column_parts_exchanged]
    found = np.empty((count, problem.positions), dtype=np.int64)
    for index in range(count):
        row, column = divmod(int(rng.choice(places)), problem.columns)
        move = moves[int(rng.integers(len(moves)))]
        found[index] = move(grid, row, column, rng).ravel()
    return found


def _columns_reordered(
    grid: NDArray[np.int64], row: int, column: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    return grid[:, _reordered(grid.shape[1], column, rng)]


def _row_reordered(
    grid: NDArray[np.int64], row: int, column: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    moved = grid.copy()
    moved[row] = grid[row, _reordered(grid.shape[1], column, rng)]
    return moved


def _rows_reordered(
    grid: NDArray[np.int64], row: int, column: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    return grid[_reordered(grid.shape[0], row, rng)]


def _column_parts_exchanged(
    grid: NDArray[np.int64], row: int, column: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Two columns exchange their nodes from one row on."""
    other = int(rng.integers(grid.shape[1]))
    moved = grid.copy()
    moved[row:, [column, other]] = grid[row:, [other, column]]
    return moved


def _blocks_exchanged(
    grid: NDArray[np.int64], row: int, column: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Blocks of neighbouring columns in two rows change places. Blocks start at multiples of their
    size, as switches do."""
    rows, columns = grid.shape
    widths = [width for width in (1, 2, 4, 8, 16, 32) if columns % width == 0]
    width = int(rng.choice(widths))
    first = column // width * width
    other_row = int(rng.integers(rows))
    other = int(rng.integers(columns // width)) * width
    moved = grid.copy()
    moved[row, first : first + width] = grid[other_row, other : other + width]
    moved[other_row, other : other + width] = grid[row, first : first + width]
    return moved


def _reordered(size: int, start: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A stretch that begins or ends at `start` is reversed, moved elsewhere, or both."""
    other = int(rng.integers(size))
    low, high = min(start, other), max(start, other) + 1
    index = np.arange(size)
    stretch = index[low:high]
    if rng.random() < 0.5:
        stretch = stretch[::-1]
    left = np.concatenate([index[:low], index[high:]])
    to = low if rng.random() < 0.5 else int(rng.integers(len(left) + 1))
    return np.concatenate([left[:to], stretch, left[to:]])
