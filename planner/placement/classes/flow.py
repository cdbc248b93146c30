"""Matches the nodes of one row with those of another, or of the same row, as flows between cells
through the tree of blocks.

A matching that crosses level h goes up from the sender's smallest block to the common block at
level h and down again. So the number of flows grows with the number of blocks, not with the number
of pairs of blocks. Pairs of qualities that cost the same at every level share their flows (a
commodity).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulp
    from numpy.typing import NDArray

    from planner.placement.classes.fabric import NestedBlocks

    Terms = list[tuple[pulp.LpVariable, float]]


class Linear:
    """A PuLP program that minimises, with numbered non-negative variables."""

    def __init__(self) -> None:
        from pulp import LpAffineExpression, LpMinimize, LpProblem

        self.problem = LpProblem("placement", LpMinimize)
        self._sum = LpAffineExpression
        self._count = 0

    def variable(self, upper: float | None = None, *, whole: bool = False) -> pulp.LpVariable:
        self._count += 1
        category = "Integer" if whole else "Continuous"
        return self.problem.add_variable(f"x{self._count}", 0, upper, category)

    def equal(self, terms: Terms, value: float) -> None:
        self.problem += self._sum(terms) == value

    def at_most(self, terms: Terms, value: float) -> None:
        self.problem += self._sum(terms) <= value

    def at_least(self, terms: Terms, value: float) -> None:
        self.problem += self._sum(terms) >= value


class Tree:
    """The blocks of a fabric by level; the whole cluster is block 0 of level H."""

    def __init__(self, fabric: NestedBlocks) -> None:
        self.fabric = fabric
        whole = np.zeros((1, fabric.cells), dtype=np.int64)
        self._block = np.concatenate((fabric.block, whole))
        self.cells = [
            {int(b): np.flatnonzero(level == b).tolist() for b in np.unique(level)}
            for level in self._block
        ]

    @cached_property
    def children(self) -> list[dict[int, list[int]]]:
        """By level and block: the blocks of the level below that it contains; none at level 0."""
        below: list[dict[int, list[int]]] = [{b: [] for b in self.cells[0]}]
        for level in range(1, len(self.cells)):
            lower = self._block[level - 1]
            below.append(
                {b: np.unique(lower[cells]).tolist() for b, cells in self.cells[level].items()}
            )
        return below

    @cached_property
    def size(self) -> list[dict[int, int]]:
        """The number of nodes, by level and block."""
        return [
            {b: int(self.fabric.count[cells].sum()) for b, cells in level.items()}
            for level in self.cells
        ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flow:
    """The variables of one matching. `inside`: flow within smallest blocks, by (sender's cell,
    receiver's cell). `turns`: flow that turns from up to down, by level and commodity. `leaves`:
    flow that goes up out of a block, by level and block. `commodity` [Q, Q]."""

    inside: dict[tuple[int, int], pulp.LpVariable]
    turns: dict[tuple[int, int], list[pulp.LpVariable]]
    leaves: dict[tuple[int, int], list[pulp.LpVariable]]
    commodity: NDArray[np.int64]


def commodities(by_level: NDArray[np.generic]) -> NDArray[np.int64]:
    """[Q, Q]: the commodity of each pair of qualities: pairs with equal entries of `by_level` [H +
    1, Q, Q] at every level above 0 share one."""
    qualities = by_level.shape[1]
    _, key = np.unique(by_level[1:].reshape(len(by_level) - 1, -1), axis=1, return_inverse=True)
    return np.asarray(key, dtype=np.int64).reshape(qualities, qualities)


def add_flow(
    rows: Linear,
    tree: Tree,
    sent: Mapping[int, pulp.LpVariable],
    received: Mapping[int, pulp.LpVariable],
    usable: NDArray[np.bool_],
    commodity: NDArray[np.int64],
) -> Flow:
    """Match the nodes sent with the nodes received, by cell, using only pairs that are `usable` [H
    + 1, Q, Q] by level, sender's and receiver's quality."""
    quality = tree.fabric.quality
    high = np.asarray(usable[1:].any(axis=0))
    goes_up = {
        (a, k): rows.variable()
        for a in sent
        for k in np.unique(commodity[quality[a], high[quality[a]]]).tolist()
    }
    comes_down = {
        (b, k): rows.variable()
        for b in received
        for k in np.unique(commodity[high[:, quality[b]], quality[b]]).tolist()
    }
    inside = {
        (a, b): rows.variable()
        for cells in tree.cells[0].values()
        for a in cells
        for b in cells
        if a in sent and b in received and usable[0, quality[a], quality[b]]
    }
    leaving: dict[int, Terms] = {a: [] for a in sent}
    arriving: dict[int, Terms] = {b: [] for b in received}
    for (a, b), variable in inside.items():
        leaving[a].append((variable, 1))
        arriving[b].append((variable, 1))
    for (a, _), variable in goes_up.items():
        leaving[a].append((variable, 1))
    for (b, _), variable in comes_down.items():
        arriving[b].append((variable, 1))
    for ends, legs in ((sent, leaving), (received, arriving)):
        for cell, terms in legs.items():
            rows.equal([*terms, (ends[cell], -1)], 0)
    turns: dict[tuple[int, int], list[pulp.LpVariable]] = {}
    leaves: dict[tuple[int, int], list[pulp.LpVariable]] = {}
    for k in range(int(commodity.max()) + 1):
        up = {b: _present(goes_up, cells, k) for b, cells in tree.cells[0].items()}
        down = {b: _present(comes_down, cells, k) for b, cells in tree.cells[0].items()}
        _climb(
            rows,
            tree,
            k,
            np.asarray(usable[:, commodity == k].any(axis=1)),
            (up, down),
            turns,
            leaves,
        )
    return Flow(inside=inside, turns=turns, leaves=leaves, commodity=commodity)


def _present(
    legs: Mapping[tuple[int, int], pulp.LpVariable], cells: Sequence[int], commodity: int
) -> list[pulp.LpVariable]:
    return [legs[cell, commodity] for cell in cells if (cell, commodity) in legs]


def _climb(
    rows: Linear,
    tree: Tree,
    commodity: int,
    usable: NDArray[np.bool_],
    legs: tuple[dict[int, list[pulp.LpVariable]], dict[int, list[pulp.LpVariable]]],
    turns: dict[tuple[int, int], list[pulp.LpVariable]],
    leaves: dict[tuple[int, int], list[pulp.LpVariable]],
) -> None:
    """Connect a level with the next: flow that leaves a block upward turns in the block above or
    goes on upward; flow that comes down does the same in reverse."""
    for level in range(1, len(usable)):
        for block, variables in legs[0].items():
            leaves.setdefault((level - 1, block), []).extend(variables)
        onward = bool(usable[level + 1 :].any())
        above: tuple[dict[int, list[pulp.LpVariable]], ...] = ({}, {})
        for block, children in tree.children[level].items():
            both = [[v for child in children for v in side[child]] for side in legs]
            turn = [rows.variable()] if usable[level] and all(both) else []
            turns.setdefault((level, commodity), []).extend(turn)
            for variables, upper in zip(both, above, strict=True):
                upper[block] = [rows.variable()] if onward and variables else []
                if variables:
                    terms: Terms = [(v, 1) for v in variables]
                    rows.equal(terms + [(v, -1) for v in upper[block] + turn], 0)
        legs = (above[0], above[1])
