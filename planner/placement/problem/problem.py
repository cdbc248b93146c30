"""Nodes on a grid of rows (stages) and columns (pipelines), and the cost of placing them.

A node takes one position of the grid: row s, column c is position s · columns + c of the host
order, the framework's own order with the pipeline axis outermost. A row is the part of the pipeline
that one node holds: a stage, or several where a stage needs less than a node. Column c of row s
sends to column c of row s + 1. The order of the columns is also the order of every ring, since
frameworks sort the ranks of a group.

The nodes of one class are interchangeable. On a fabric of tiers a class is a switch and a card
speed; where bandwidth was measured pair by pair, each node is a class of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Stopped


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RingFamily:
    """Groups that communicate around rings of columns, the same in every row.

    `rings`: the columns of each ring in its order; the last sends to the first. A ring in row s
    takes `scale[s]` times the largest `hop_s` [K, K] (sending class, receiving class) among its
    hops.
    """

    rings: tuple[tuple[int, ...], ...]
    hop_s: NDArray[np.float64]
    scale: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wait:
    """What the step waits for in addition to the pipeline: the largest over the rows of the
    families' summed seconds minus `hidden_s` [rows], and never less than 0."""

    families: tuple[RingFamily, ...]
    hidden_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PathsOfAllRows:
    """Paths [V] that are followed by the closing of every row: row s ends at most `hidden_s` [rows]
    before them. `path_s` [V], `path_links` [V, boundaries]."""

    path_s: NDArray[np.float64]
    path_links: NDArray[np.float64]
    hidden_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Closing:
    """What a row does once its last pass is over: path w ends in row `path_row[w]`, int [W], and is
    followed by the slowest ring of `family` in that row. `slack_s` [rows]: how much earlier than
    the last row each row is done when all links are the cheapest. `together`: paths that all rows
    follow."""

    family: RingFamily
    path_row: NDArray[np.int64]
    slack_s: NDArray[np.float64]
    together: PathsOfAllRows | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacementProblem:
    """N nodes, of which rows · columns are used; K classes; W critical paths.

    `node_class` int [N]. `link_s` [K, K]: seconds that a link from a node of one class to a node of
    another in the next row adds, there and back, each time a critical path crosses the boundary. A
    column's pipeline takes the max over paths of `path_s` [W] + `path_links` · its links: [W, rows
    − 1], or [W, rows] where paths also go from the last row back to the first. `lockstep`
    neighbouring columns wait for each other at every boundary, so each of their links counts as the
    slowest of them. `closing`: what follows each path. `row_class_allowed` bool [rows, K].
    `has_waits_inside`: some waits stand for groups inside the passes, which a pipeline can hide.
    """

    rows: int
    columns: int
    lockstep: int
    node_class: NDArray[np.int64]
    link_s: NDArray[np.float64]
    path_s: NDArray[np.float64]
    path_links: NDArray[np.float64]
    waits: tuple[Wait, ...]
    row_class_allowed: NDArray[np.bool_]
    closing: Closing | None = None
    has_waits_inside: bool = False

    @property
    def boundaries(self) -> int:
        """Number of boundaries between consecutive rows, counting the way back to the first where
        paths take it."""
        return int(self.path_links.shape[1])

    def links(self, grids: NDArray[np.int64]) -> NDArray[np.float64]:
        """[…, boundaries, columns]: seconds of all links, for classes […, rows, columns]."""
        below = np.roll(grids, -1, axis=-2)
        return self.link_s[grids[..., : self.boundaries, :], below[..., : self.boundaries, :]]

    @property
    def positions(self) -> int:
        return self.rows * self.columns

    @property
    def classes(self) -> int:
        return len(self.link_s)

    def objective_s(self, order: NDArray[np.int64]) -> float:
        """Seconds of a step in which node `order[i]` takes position i; infinite where a row does
        not allow the class of one of its nodes."""
        if not self.allows(order):
            return float("inf")
        grid = self.node_class[order].reshape(self.rows, self.columns)
        return self.pipeline_s(grid) + sum(wait_s(wait, grid) for wait in self.waits)

    def allows(self, order: NDArray[np.int64]) -> bool:
        """Whether every row allows the classes of its nodes."""
        grid = self.node_class[order].reshape(self.rows, self.columns)
        return bool(self.row_class_allowed[np.arange(self.rows)[:, None], grid].all())

    def pipeline_s(self, grid: NDArray[np.int64]) -> float:
        """Seconds of the slowest column of a grid of classes, int [rows, columns], with what
        follows."""
        blocks = self.columns // self.lockstep
        links = self.links(grid).reshape(self.boundaries, blocks, self.lockstep).max(axis=-1)
        paths_s = (self.path_s[:, None] + self.path_links @ links).max(axis=1)
        if self.closing is not None:
            paths_s = paths_s + family_s(self.closing.family, grid)[self.closing.path_row]
        return float(paths_s.max())


def wait_s(wait: Wait, grid: NDArray[np.int64]) -> float:
    """Seconds of a wait on a grid of classes, int [rows, columns]."""
    seconds = sum((family_s(family, grid) for family in wait.families), np.zeros(len(grid)))
    return max(0.0, float((seconds - wait.hidden_s).max()))


def family_s(family: RingFamily, grid: NDArray[np.int64]) -> NDArray[np.float64]:
    """[rows]: seconds of the family's slowest ring in each row."""
    slowest = np.zeros(len(grid))
    for ring in family.rings:
        if len(ring) > 1:
            around = grid[:, list(ring)]
            hops = family.hop_s[around, np.roll(around, -1, axis=1)]
            slowest = np.maximum(slowest, hops.max(axis=1))
    return slowest * family.scale


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementSolution:
    """A placement and its bound. `order`: the node at every position. By the problem's objective
    this placement takes `objective_s`, and none takes less than `bound_s`. `method` says how it was
    found and proven, `stopped` what ended the search."""

    order: tuple[int, ...]
    objective_s: float
    bound_s: float
    method: str
    stopped: Stopped

    @property
    def gap(self) -> float:
        return max(0.0, 1 - self.bound_s / self.objective_s)
