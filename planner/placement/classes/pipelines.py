"""The part of a placement program about nodes, links and pipelines.

- Every row takes as many nodes as there are columns, and no cell gives more than it has.
- Links are a flow from the cells of one row to those of the next, and the slowest pipeline takes
  no less than the mean pipeline does, by every path.
- Nor does it take less than the fastest pipeline with a link of some cost at some boundary, or with
  a node of some quality in some row, where one has it.
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


class PipelineProgram:
    """Variables and rows for the pipelines.

    The pipelines take `least_s` + `unit_s` · the objective of `rows.problem`. The objective follows
    the mean flow, or is one of `steps_s`: the fastest pipeline that uses some given link or node.
    `take` holds the variables of nodes by (row, cell).
    """

    def __init__(
        self, problem: PlacementProblem, fabric: NestedBlocks, budget: Budget = UNLIMITED
    ) -> None:
        """Raises: OutOfTime."""
        self.budget = budget
        self.placement, self.fabric = problem, fabric
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

    def of_row(self, row: int) -> dict[int, pulp.LpVariable]:
        return {cell: variable for (r, cell), variable in self.take.items() if r == row}

    def _link(self, boundary: int) -> Flow:
        """The links across one boundary between rows; a slow link slows its pipeline."""
        self.budget.check()
        usable = np.isfinite(self.fabric.link_s)
        flow = add_flow(
            self.rows,
            self.tree,
            self.of_row(boundary),
            self.of_row(boundary + 1),
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
                for cell, variable in self.of_row(row).items():
                    if fabric.quality[cell] == quality:
                        self.rows.at_most([(variable, 1), (present, -variable.upBound)], 0)
