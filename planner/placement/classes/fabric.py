"""Infers the nested blocks of a cluster (switches, pods, sites) and the qualities of its nodes from
the costs between classes. Costs are rounded down, so that bounds computed from them stay valid.

Two classes in one block differ only in quality (card speed, device type). Costs are kept by the
level of the smallest block that two nodes share and by the qualities of both: the smallest cost of
any two such nodes. If blocks or qualities are inferred wrongly, bounds become weak but never wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.placement.problem.problem import PlacementProblem

LEVELS = 4
"""Most levels of blocks that are kept below the whole cluster."""
LEVEL_RATIO = 1.08
"""The costs of two levels differ by more than this factor."""
QUALITY_RATIO = 1.25
"""The mean costs of nodes of two qualities differ by more than this factor."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NestedBlocks:
    """The nested blocks of a cluster, as C cells: a cell is the nodes of one quality in one of the
    smallest blocks.

    `cell_of_class` [K]; `count`, `quality` [C]; `block` [H, C]: the block that holds each cell at
    every level, the smallest blocks first. `link_s`, and each entry of `hop_s` (families in the
    order of the problem's waits): seconds [H + 1, Q, Q] by level of the smallest common block
    (level H: the whole cluster), sender's and receiver's quality; infinite where no two nodes are
    related in this way. `allowed` [rows, C]: whether some node of the cell may be in the row.
    """

    cell_of_class: NDArray[np.int64]
    count: NDArray[np.int64]
    quality: NDArray[np.int64]
    block: NDArray[np.int64]
    link_s: NDArray[np.float64]
    hop_s: tuple[NDArray[np.float64], ...]
    allowed: NDArray[np.bool_]

    @property
    def levels(self) -> int:
        return len(self.block)

    @property
    def cells(self) -> int:
        return len(self.count)

    @property
    def qualities(self) -> int:
        return int(self.link_s.shape[1])


def fabric_of(problem: PlacementProblem, budget: Budget = UNLIMITED) -> NestedBlocks:
    """The fabric of a problem. Raises: OutOfTime."""
    nodes = np.bincount(problem.node_class, minlength=problem.classes)
    cost = _dissimilarity(problem)
    quality = _qualities(cost, nodes)
    blocks = _blocks(cost, quality, nodes, budget)
    keys = np.stack([blocks[0], quality])
    _, first, cell = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    cell = cell.ravel()
    level = common_level(blocks)
    pairs = nodes[:, None] * (nodes[None, :] - np.eye(len(nodes), dtype=np.int64)) > 0
    hops = [family.hop_s for wait in problem.waits for family in wait.families]
    allowed = np.zeros((problem.rows, len(first)), dtype=bool)
    for k in np.flatnonzero(nodes):
        allowed[:, cell[k]] |= problem.row_class_allowed[:, k]
    return NestedBlocks(
        cell_of_class=cell,
        count=np.bincount(cell, weights=nodes).astype(np.int64),
        quality=quality[first],
        block=blocks[:, first],
        link_s=_least(problem.link_s, level, quality, pairs, len(blocks)),
        hop_s=tuple(_least(hop, level, quality, pairs, len(blocks)) for hop in hops),
        allowed=allowed,
    )


def common_level(blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    """[K, K]: the number of levels at which two classes do not share a block, smallest blocks
    first."""
    return np.asarray((blocks[:, :, None] != blocks[:, None, :]).sum(axis=0))


def _least(
    seconds: NDArray[np.float64],
    level: NDArray[np.int64],
    quality: NDArray[np.int64],
    pairs: NDArray[np.bool_],
    levels: int,
) -> NDArray[np.float64]:
    qualities = int(quality.max()) + 1
    table = np.full((levels + 1, qualities, qualities), np.inf)
    sender, receiver = np.nonzero(pairs)
    where = (level[sender, receiver], quality[sender], quality[receiver])
    np.minimum.at(table, where, seconds[sender, receiver])
    return table


def _dissimilarity(problem: PlacementProblem) -> NDArray[np.float64]:
    """[K, K], symmetric: the logarithm of the distance between two classes, all costs taken
    together."""
    total = np.zeros_like(problem.link_s)
    for seconds in (problem.link_s, *(f.hop_s for w in problem.waits for f in w.families)):
        scale = float(np.median(seconds[np.isfinite(seconds)]))
        if scale > 0:
            total += (seconds + seconds.T) / scale
    return np.log(np.maximum(total, 1e-12))


def _qualities(cost: NDArray[np.float64], nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    """[K]: the quality of each class. Classes are sorted by their mean cost to the others and split
    where it jumps."""
    weight = np.where(np.eye(len(cost), dtype=bool), np.maximum(nodes - 1, 0), nodes)
    mean = (cost * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1)
    order = np.argsort(mean, kind="stable")
    jump = np.diff(mean[order], prepend=mean[order[0]]) > np.log(QUALITY_RATIO)
    quality = np.empty(len(cost), dtype=np.int64)
    quality[order] = np.cumsum(jump)
    return quality


def _blocks(
    cost: NDArray[np.float64],
    quality: NDArray[np.int64],
    nodes: NDArray[np.int64],
    budget: Budget,
) -> NDArray[np.int64]:
    """[H, K]: nested blocks, the smallest first.

    Classes of the most common quality are clustered by mean cost; a class with enough nodes is a
    block by itself. A class of another quality joins its nearest class.
    """
    classes = np.arange(len(cost))
    main = int(np.bincount(quality, weights=nodes).argmax())
    members = classes[(quality == main) & (nodes > 0)]
    merges = _average_linkage(cost[np.ix_(members, members)], nodes[members], budget)
    cuts = _cuts([height for height, _, _ in merges])
    if nodes[members].sum() >= 2 * len(members):
        cuts = [-np.inf, *cuts]
    near = classes.copy()
    others = np.setdiff1d(classes, members)
    near[others] = members[cost[np.ix_(others, members)].argmin(axis=1)]
    position = np.full(len(cost), -1)
    position[members] = np.arange(len(members))
    levels = [_components(len(members), [m for m in merges if m[0] <= cut]) for cut in cuts]
    levels = levels or [np.arange(len(members))]
    return np.stack([level[position[near]] for level in levels])


def _average_linkage(
    cost: NDArray[np.float64], nodes: NDArray[np.int64], budget: Budget
) -> list[tuple[float, int, int]]:
    """Merges (height, class, class) of average-linkage clustering, heights ascending."""
    distance = cost.copy()
    np.fill_diagonal(distance, np.inf)
    weight = nodes.astype(float)
    alive = np.ones(len(cost), dtype=bool)
    merges: list[tuple[float, int, int]] = []
    height = -np.inf
    for _ in range(len(cost) - 1):
        budget.check()
        a, b = sorted(divmod(int(distance.argmin()), len(cost)))
        height = max(height, float(distance[a, b]))
        merges.append((height, a, b))
        mean = (weight[a] * distance[a] + weight[b] * distance[b]) / (weight[a] + weight[b])
        mean[~alive | (np.arange(len(cost)) == b)] = np.inf
        mean[a] = np.inf
        distance[a], distance[:, a] = mean, mean
        distance[b], distance[:, b] = np.inf, np.inf
        alive[b] = False
        weight[a] += weight[b]
    return merges


def _cuts(heights: list[float]) -> list[float]:
    """Heights at which blocks are complete: just before the largest jumps, below the whole
    cluster."""
    jumps = [
        (after - before, before)
        for before, after in pairwise(heights)
        if after - before > np.log(LEVEL_RATIO)
    ]
    largest = sorted(jumps, reverse=True)[:LEVELS]
    return sorted(before for _, before in largest)


def _components(size: int, merges: list[tuple[float, int, int]]) -> NDArray[np.int64]:
    label = np.arange(size)
    for _, a, b in merges:
        label[label == label[b]] = label[a]
    return np.unique(label, return_inverse=True)[1]


def coarser(fabric: NestedBlocks) -> NestedBlocks:
    """The fabric without its smallest blocks. Their nodes count as near to each other as any two
    nodes of the block above; where there was only one level, all nodes form one block. No cost
    increases."""
    block = fabric.block[1:] if fabric.levels > 1 else np.zeros_like(fabric.block)
    keys = np.stack([block[0], fabric.quality])
    _, first, cell = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    cell = cell.ravel()
    allowed = np.zeros((len(fabric.allowed), len(first)), dtype=bool)
    for k in range(fabric.cells):
        allowed[:, cell[k]] |= fabric.allowed[:, k]
    return NestedBlocks(
        cell_of_class=cell[fabric.cell_of_class],
        count=np.bincount(cell, weights=fabric.count).astype(np.int64),
        quality=fabric.quality[first],
        block=block[:, first],
        link_s=_without_lowest(fabric.link_s),
        hop_s=tuple(_without_lowest(hop) for hop in fabric.hop_s),
        allowed=allowed,
    )


def _without_lowest(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The table with its lowest two levels merged; above the only level there are no pairs."""
    lower = table[1:].copy()
    lower[0] = np.minimum(table[0], table[1])
    return lower if len(lower) > 1 else np.concatenate((lower, np.full_like(lower, np.inf)))
