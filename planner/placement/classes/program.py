"""The integer program of placement by cells: how many nodes of each cell every row takes.

Columns have no index, so that nodes of a cell and columns are not enumerated. What rings may wait
is data: `hops` says which hops they may have, and the program finds the least seconds that the
pipelines then take (`pipelines`). Every placement is an assignment of it, so that what bounds the
program bounds the placement:

- hops are a flow from the cells of a row to themselves, and a ring that goes into a set of nodes
  too small for all of it leaves it again;
- a row whose rings must not leave blocks of some level takes each from one block. Neighbouring
  rows with one ring each stay in a block for a run as long as its nodes last, and between two runs
  every pipeline leaves the block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED
from planner.placement.classes.flow import add_flow, commodities
from planner.placement.classes.pipelines import PipelineProgram

if TYPE_CHECKING:
    import pulp
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.placement.classes.fabric import NestedBlocks
    from planner.placement.classes.flow import Terms
    from planner.placement.problem.problem import PlacementProblem


class ClassProgram(PipelineProgram):
    """The integer program: its pipelines, and the rings of its rows.

    `hops` bool [families, rows, H + 1, Q, Q], families in the order of the problem's waits: the
    hops that rings may use, by level, sender's and receiver's quality. `within` holds the variables
    of rings by (level, block, row).
    """

    def __init__(
        self,
        problem: PlacementProblem,
        fabric: NestedBlocks,
        hops: NDArray[np.bool_],
        budget: Budget = UNLIMITED,
    ) -> None:
        """Raises: OutOfTime."""
        super().__init__(problem, fabric, budget)
        self.hops = hops
        self.within: dict[tuple[int, int, int], pulp.LpVariable] = {}
        families = [family for wait in problem.waits for family in wait.families]
        for family, allowed in zip(families, hops, strict=True):
            rings = [ring for ring in family.rings if len(ring) > 1]
            if sum(map(len, rings)) == problem.columns and len(set(map(len, rings))) == 1:
                for row in range(problem.rows):
                    self._ring(row, len(rings), allowed[row])
        for level in range(fabric.levels):
            self._runs(level)

    def _ring(self, row: int, rings: int, allowed: NDArray[np.bool_]) -> None:
        """Form `rings` equal rings in a row, from hops that are `allowed` [H + 1, Q, Q]."""
        self.budget.check()
        if (allowed | np.isinf(self.fabric.link_s)).all():
            return
        taken, length = self.of_row(row), self.placement.columns // rings
        flow = add_flow(self.rows, self.tree, taken, taken, allowed, commodities(allowed))
        for level in range(self.fabric.levels):
            for block, cells in self.tree.cells[level].items():
                if self.tree.size[level][block] < length:
                    leaves: Terms = [(v, 1) for v in flow.leaves.get((level, block), [])]
                    self._passes([taken[c] for c in cells if c in taken], leaves, length)
        for cells in self.tree.cells[0].values():
            for cell in cells if len(cells) > 1 else ():
                confined = not allowed[1:, self.fabric.quality[cell]].any()
                if cell in taken and confined and self.fabric.count[cell] < length:
                    leaves = [(v, 1) for (a, b), v in flow.inside.items() if a == cell != b]
                    self._passes([taken[cell]], leaves, length)
        crossed = np.flatnonzero(allowed.any(axis=(1, 2)))
        level = int(crossed.max(initial=0))
        if level < self.fabric.levels:
            self._confine(row, level, rings, taken)

    def _passes(self, nodes: list[pulp.LpVariable], leaves: Terms, length: int) -> None:
        """Rings of `length` nodes that enter a set must also leave it."""
        most = min(sum(int(v.upBound) for v in nodes), self.placement.columns)
        enters = self.rows.variable(1, whole=True)
        self.rows.at_most([*((v, 1) for v in nodes), (enters, -most)], 0)
        self.rows.at_least([*leaves, (enters, -1)], 0)
        self.rows.at_least([*leaves, *((v, -1 / (length - 1)) for v in nodes)], 0)

    def _confine(self, row: int, level: int, rings: int, taken: dict[int, pulp.LpVariable]) -> None:
        """A row takes each of its rings from one block of the level."""
        length = self.placement.columns // rings
        whole: Terms = []
        for block, cells in self.tree.cells[level].items():
            most = min(self.tree.size[level][block] // length, rings)
            count = self.rows.variable(most, whole=True)
            if rings == 1:
                count = self.within.setdefault((level, block, row), count)
            whole.append((count, 1))
            nodes: Terms = [(taken[cell], 1) for cell in cells if cell in taken]
            self.rows.equal([*nodes, (count, -length)], 0)
            if count.upBound == 1:
                for variable, _ in nodes:
                    self.rows.at_most([(variable, 1), (count, -variable.upBound)], 0)
        self.rows.equal(whole, rings)

    def _runs(self, level: int) -> None:
        """Neighbouring rows with one ring each that stay within one block, of this level or a lower
        one."""
        columns = self.placement.columns
        kept = self._kept(level)
        confined = [row for row in range(self.placement.rows) if row in kept]
        for first, last in _stretches(confined):
            for block in self.tree.cells[level]:
                self.budget.check()
                longest = self.tree.size[level][block] // columns
                cover: dict[int, Terms] = {row: [] for row in range(first, last + 1)}
                ends: dict[int, Terms] = {row: [] for row in range(first, last + 1)}
                for start in range(first, last + 1):
                    for end in range(start, min(last, start + longest - 1) + 1):
                        run = self.rows.variable(1, whole=True)
                        ends[end].append((run, -columns))
                        for row in range(start, end + 1):
                            cover[row].append((run, 1))
                for row in range(first, last + 1):
                    here = kept[row].get(block, [])
                    self.rows.equal(cover[row] + [(v, -1) for v in here], 0)
                    if row < last:
                        leaves = self.links[row].leaves.get((level, block), [])
                        self.rows.equal([*((v, 1) for v in leaves), *ends[row]], 0)

    def _kept(self, level: int) -> dict[int, dict[int, list[pulp.LpVariable]]]:
        """For every row with one ring that stays in a block of this level or a lower one: by block
        of this level, the variables that say whether the ring is there."""
        kept: dict[int, dict[int, list[pulp.LpVariable]]] = {}
        parent = {
            (low, int(b)): int(self.fabric.block[level, cells[0]])
            for low in range(level + 1)
            for b, cells in self.tree.cells[low].items()
        }
        sums: dict[tuple[int, int], dict[int, list[pulp.LpVariable]]] = {}
        for (low, block, row), variable in self.within.items():
            if low <= level:
                at = sums.setdefault((row, low), {})
                at.setdefault(parent[low, block], []).append(variable)
        for (row, _), by_block in sums.items():
            if sum(v.upBound for vs in by_block.values() for v in vs) and row not in kept:
                kept[row] = by_block
        return kept


def _stretches(rows: list[int]) -> list[tuple[int, int]]:
    """First and last row of every maximal stretch of at least two neighbouring rows."""
    firsts = [row for row in rows if row - 1 not in rows]
    lasts = [row for row in rows if row + 1 not in rows]
    return [(a, b) for a, b in zip(firsts, lasts, strict=True) if a < b]
