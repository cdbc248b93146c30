"""The integer program of placement by cells: how many nodes of each cell every row takes.

Columns have no index, so that nodes of a cell and columns are not enumerated. What rings may wait
is data: `hops` says which hops they may have, and the program finds the least seconds that the
pipelines then take. Every placement is an assignment of it, so that what bounds the program bounds
the placement:

- links are a flow from the cells of one row to those of the next, and the slowest pipeline takes
  no less than the mean pipeline does, by every path;
- nor less than the fastest pipeline with a link of some cost at some boundary, or with a node of
  some quality in some row, where one has it;
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
from planner.placement.classes.flow import Linear, Tree, add_flow, commodities

if TYPE_CHECKING:
    import pulp
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.placement.classes.fabric import NestedBlocks
    from planner.placement.classes.flow import Flow, Terms
    from planner.placement.problem.problem import PlacementProblem

FAR_S = 1e9
"""Seconds that stand for a link that no two nodes have."""


class ClassProgram:
    """The integer program and its variables.

    `hops` bool [families, rows, H + 1, Q, Q], families in the order of the problem's waits: the
    hops that rings may use, by level, sender's and receiver's quality.

    The pipelines take `least_s` + `unit_s` · the objective of `rows.problem`. The objective follows
    the mean flow, or is one of `steps_s`: the fastest pipeline that uses some given link or node.
    `take` holds the variables of nodes by (row, cell), `within` those of rings by (level, block,
    row).
    """

    def __init__(
        self,
        problem: PlacementProblem,
        fabric: NestedBlocks,
        hops: NDArray[np.bool_],
        budget: Budget = UNLIMITED,
    ) -> None:
        """Raises: OutOfTime."""
        self.budget = budget
        self.placement, self.fabric, self.hops = problem, fabric, hops
        self.tree = Tree(fabric)
        self.rows = Linear()
        self.cheapest = np.full(problem.rows - 1, fabric.link_s.min())
        self.least_s = self._path_s(self.cheapest)
        self.unit_s = max(self.least_s, 1e-12)
        if problem.rows > 1:
            self.unit_s = max(float(fabric.link_s.min() * problem.path_links.max()), 1e-12)
        self.steps_s: set[float] = set()
        self.more = self.rows.variable()
        self.rows.problem.setObjective(self.more)
        self.take = self._taken()
        self.links = [self._link(boundary) for boundary in range(problem.rows - 1)]
        self._mean_paths()
        self._present_nodes()
        self.within: dict[tuple[int, int, int], pulp.LpVariable] = {}
        families = [family for wait in problem.waits for family in wait.families]
        for family, allowed in zip(families, hops, strict=True):
            rings = [ring for ring in family.rings if len(ring) > 1]
            if sum(map(len, rings)) == problem.columns and len(set(map(len, rings))) == 1:
                for row in range(problem.rows):
                    self._ring(row, len(rings), allowed[row])
        for level in range(fabric.levels):
            self._runs(level)

    @property
    def size(self) -> int:
        return int(self.rows.problem.numVariables())

    def keep_below(self, pipeline_s: float) -> None:
        """Look only for assignments whose pipelines take at most `pipeline_s`."""
        self.more.upBound = max(0.0, (pipeline_s - self.least_s) / self.unit_s)

    def _path_s(self, links: NDArray[np.float64]) -> float:
        problem = self.placement
        return float((problem.path_s + problem.path_links @ links).max())

    def _taken(self) -> dict[tuple[int, int], pulp.LpVariable]:
        """Variables: how many nodes of each cell every row takes."""
        problem, fabric = self.placement, self.fabric
        most = np.minimum(fabric.count, problem.columns).tolist()
        take = {
            (row, cell): self.rows.variable(most[cell], whole=True)
            for row in range(problem.rows)
            for cell in np.flatnonzero(fabric.allowed[row]).tolist()
        }
        by_row: list[Terms] = [[] for _ in range(problem.rows)]
        by_cell: list[Terms] = [[] for _ in range(fabric.cells)]
        for (row, cell), variable in take.items():
            by_row[row].append((variable, 1))
            by_cell[cell].append((variable, 1))
        for terms in by_row:
            self.rows.equal(terms, problem.columns)
        spare = int(fabric.count.sum()) - problem.positions
        for terms, count in zip(by_cell, fabric.count.tolist(), strict=True):
            if spare == 0:
                self.rows.equal(terms, count)
            else:
                self.rows.at_most(terms, count)
        return take

    def _of_row(self, row: int) -> dict[int, pulp.LpVariable]:
        return {cell: variable for (r, cell), variable in self.take.items() if r == row}

    # ------------------------------------------------------------------ pipelines

    def _link(self, boundary: int) -> Flow:
        """The links across one boundary between rows; a slow link slows its pipeline."""
        self.budget.check()
        usable = np.isfinite(self.fabric.link_s)
        flow = add_flow(
            self.rows,
            self.tree,
            self._of_row(boundary),
            self._of_row(boundary + 1),
            usable,
            commodities(self.fabric.link_s),
        )
        by_cost = self._by_cost(flow)
        costs = sorted(by_cost)
        for index, cost in enumerate(costs):
            links = self.cheapest.copy()
            links[boundary] = cost
            more = (self._path_s(links) - self.least_s) / self.unit_s
            if more > 1e-9:
                self.steps_s.add(self._path_s(links))
                used = self.rows.variable(1, whole=True)
                slow: Terms = [(v, 1) for c in costs[index:] for v in by_cost[c]]
                self.rows.at_most([*slow, (used, -self.placement.columns)], 0)
                self.rows.at_least([(self.more, 1), (used, -more)], 0)
        return flow

    def _by_cost(self, flow: Flow) -> dict[float, list[pulp.LpVariable]]:
        fabric = self.fabric
        found: dict[float, list[pulp.LpVariable]] = {}
        for (a, b), variable in flow.inside.items():
            cost = float(fabric.link_s[0, fabric.quality[a], fabric.quality[b]])
            found.setdefault(cost, []).append(variable)
        for (level, commodity), variables in flow.turns.items():
            if variables:
                cost = float(fabric.link_s[level][flow.commodity == commodity].min())
                found.setdefault(cost, []).extend(variables)
        return found

    def _mean_paths(self) -> None:
        """Bound `more` below by what the mean pipeline takes on every path."""
        problem, columns = self.placement, self.placement.columns
        if problem.rows == 1:
            return
        unit = max(float(self.fabric.link_s.min()), 1e-12)
        means = []
        for flow in self.links:
            mean = self.rows.variable()
            terms: Terms = [
                (variable, cost / unit)
                for cost, variables in self._by_cost(flow).items()
                for variable in variables
            ]
            self.rows.equal([*terms, (mean, -columns)], 0)
            means.append(mean)
        for seconds, path in zip(problem.path_s, problem.path_links, strict=True):
            terms = [
                (mean, float(-unit * share / self.unit_s))
                for mean, share in zip(means, path, strict=True)
                if share > 0
            ]
            if terms:
                least = (float(seconds) - self.least_s) / self.unit_s
                self.rows.at_least([(self.more, 1), *terms], least)

    def _present_nodes(self) -> None:
        """Bound `more` below wherever a row holds a node of some quality, which slows its
        pipeline."""
        problem, fabric = self.placement, self.fabric
        least = np.minimum(fabric.link_s.min(axis=0), FAR_S)
        for row in range(problem.rows):
            for quality in range(fabric.qualities):
                links = self.cheapest.copy()
                if row > 0:
                    links[row - 1] = least[:, quality].min()
                if row < problem.rows - 1:
                    links[row] = least[quality].min()
                more = (self._path_s(links) - self.least_s) / self.unit_s
                if more <= 1e-9 or more * self.unit_s > FAR_S / 2:
                    continue
                self.steps_s.add(self._path_s(links))
                present = self.rows.variable(1, whole=True)
                self.rows.at_least([(self.more, 1), (present, -more)], 0)
                for cell, variable in self._of_row(row).items():
                    if fabric.quality[cell] == quality:
                        self.rows.at_most([(variable, 1), (present, -variable.upBound)], 0)

    # ------------------------------------------------------------------ rings

    def _ring(self, row: int, rings: int, allowed: NDArray[np.bool_]) -> None:
        """Form `rings` equal rings in a row, from hops that are `allowed` [H + 1, Q, Q]."""
        self.budget.check()
        if (allowed | np.isinf(self.fabric.link_s)).all():
            return
        taken, length = self._of_row(row), self.placement.columns // rings
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
