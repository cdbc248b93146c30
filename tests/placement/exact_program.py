"""Placement as an integer program, node class by position: checks the sweep; no search runs it.

x[g, k]        1 where position g has a node of class k
y[g, g', i, j] 1 where g has one of class i and g' one of class j, for each link and hop g → g'
link[b, i]     seconds of boundary b in block i: at least those of each of its columns
hop[f, s]      seconds of the slowest hop of family f in row s

minimise pipeline + sum of waits
pipeline ≥ path + its links, every block and path
wait ≥ 0 and ≥ seconds of its families in a row − what hides them there
Σ_j y[g, g', i, j] = x[g, i],  Σ_i y[g, g', i, j] = x[g', j]

The last rows make y follow x without y being integer (the flow form of the quadratic assignment
problem: Adams and Johnson 1994); they bound far better than y ≥ x + x' − 1. Measured here, the
program takes seconds for 8 nodes and minutes for 12: it is the check of the sweep, which is exact
by other means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from planner.placement.bounds.reach import between_two_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from planner.placement.problem.terms import Hops, Terms
    from planner.solver import Answer, Limits

OBJECTIVE = 1000.0
"""The objective of the starting placement, in the program's unit of time."""


class PlacementProgram:
    """The program and what its variables mean."""

    def __init__(self, terms: Terms, order: NDArray[np.int64]) -> None:
        """`order` int [positions]: the starting placement, which must have a finite objective."""
        from pulp import LpMinimize, LpProblem, lpSum

        self.terms, self.problem = terms, terms.problem
        self.order = order[: self.problem.positions]
        self.unit_s = self.problem.objective_s(self.order) / OBJECTIVE
        self.program = LpProblem("placement", LpMinimize)
        self.sum = lpSum
        self.apart = between_two_nodes(self.problem.node_class, self.problem.classes)
        self.pairs: list[tuple[int, int, dict[tuple[int, int], Any]]] = []
        self.links: dict[tuple[int, int], Any] = {}
        self.hops: dict[tuple[int, int, int], Any] = {}
        self._add_nodes()
        self.pipeline = self._add_pipelines()
        self.waits = [self._add_wait(number) for number in range(len(self.problem.waits))]
        self.program.setObjective(self.pipeline + lpSum(self.waits))

    def solve(self, limits: Limits | None = None) -> Answer:
        """The solver's answer; objective and bound in units of `unit_s`."""
        from planner.solver import solve

        return solve(self.program, limits, known=self._known())

    def order_of(self, answer: Answer) -> NDArray[np.int64]:
        """Int [positions]: nodes of each class in the order of positions."""
        problem = self.problem
        left = [list(np.flatnonzero(problem.node_class == kind)) for kind in range(problem.classes)]
        chosen = {place: kind for (place, kind), x in self.x.items() if answer.values[x.name] > 0.5}
        return np.array([left[chosen[place]].pop(0) for place in range(problem.positions)])

    def _add_nodes(self) -> None:
        problem, add = self.problem, self.program.add_variable
        self.x = {
            (place, kind): add(f"x_{place}_{kind}", 0, 1, "Integer")
            for place in range(problem.positions)
            for kind in range(problem.classes)
            if problem.row_class_allowed[place // problem.columns, kind]
        }
        count = np.bincount(problem.node_class, minlength=problem.classes)
        for place in range(problem.positions):
            self.program += self.sum(self._kinds(place).values()) == 1
        for kind in range(problem.classes):
            taken = [x for (_, other), x in self.x.items() if other == kind]
            if taken:
                self.program += self.sum(taken) <= int(count[kind])

    def _kinds(self, place: int) -> dict[int, Any]:
        classes = range(self.problem.classes)
        return {kind: self.x[place, kind] for kind in classes if (place, kind) in self.x}

    def _pair_s(self, name: str, sender: int, receiver: int, seconds: NDArray[np.float64]) -> Any:
        """Seconds between two positions as a sum over y, in the program's unit."""
        one, other = self._kinds(sender), self._kinds(receiver)
        y = {
            (i, j): self.program.add_variable(f"{name}_{i}_{j}", 0, 1)
            for i in one
            for j in other
            if self.apart[i, j]
        }
        for i, x in one.items():
            self.program += self.sum(y[i, j] for j in other if (i, j) in y) == x
        for j, x in other.items():
            self.program += self.sum(y[i, j] for i in one if (i, j) in y) == x
        self.pairs.append((sender, receiver, y))
        return self.sum(float(seconds[pair]) / self.unit_s * each for pair, each in y.items())

    def _add_pipelines(self) -> Any:
        problem, add = self.problem, self.program.add_variable
        pipeline = add("pipeline", float(problem.path_s.max()) / self.unit_s)
        for boundary in range(problem.rows - 1):
            for column in range(problem.columns):
                block = column // problem.lockstep
                if (boundary, block) not in self.links:
                    self.links[boundary, block] = add(f"link_{boundary}_{block}", 0)
                place = boundary * problem.columns + column
                seconds = self._pair_s(f"y_{place}", place, place + problem.columns, problem.link_s)
                self.program += self.links[boundary, block] >= seconds
        for block in range(problem.columns // problem.lockstep):
            for path_s, coefficients in zip(problem.path_s, problem.path_links, strict=True):
                links = [
                    float(coefficient) * self.links[boundary, block]
                    for boundary, coefficient in enumerate(coefficients)
                ]
                self.program += pipeline >= float(path_s) / self.unit_s + self.sum(links)
        return pipeline

    def _add_wait(self, number: int) -> Any:
        problem = self.problem
        wait = self.program.add_variable(f"wait_{number}", 0)
        rows: list[list[Any]] = [[] for _ in range(problem.rows)]
        for family, hops in enumerate(self.terms.waits[number]):
            for row, slowest in self._add_hops(number, family, hops):
                rows[row].append(float(hops.scale[row]) * slowest)
        for row, seconds in enumerate(rows):
            hidden = float(problem.waits[number].hidden_s[row]) / self.unit_s
            self.program += wait >= self.sum(seconds) - hidden
        return wait

    def _add_hops(self, number: int, family: int, hops: Hops) -> Iterable[tuple[int, Any]]:
        if not len(hops.sender):
            return
        for row in range(self.problem.rows):
            slowest = self.program.add_variable(f"hop_{number}_{family}_{row}", 0)
            first = row * self.problem.columns
            for sender, receiver in zip(hops.sender, hops.receiver, strict=True):
                name = f"y_{number}_{family}_{row}_{sender}_{receiver}"
                ends = first + int(sender), first + int(receiver)
                self.program += slowest >= self._pair_s(name, *ends, hops.seconds)
            self.hops[number, family, row] = slowest
            yield row, slowest

    def _known(self) -> dict[str, float]:
        """The starting placement, by variable name."""
        problem, unit_s = self.problem, self.unit_s
        kinds = problem.node_class[self.order]
        grid = kinds.reshape(problem.rows, problem.columns)
        known = {self.x[place, int(kind)].name: 1.0 for place, kind in enumerate(kinds)}
        for sender, receiver, y in self.pairs:
            known[y[int(kinds[sender]), int(kinds[receiver])].name] = 1.0
        for (boundary, block), link in self.links.items():
            columns = slice(block * problem.lockstep, (block + 1) * problem.lockstep)
            pair = grid[boundary, columns], grid[boundary + 1, columns]
            known[link.name] = float(problem.link_s[pair].max()) / unit_s
        known[self.pipeline.name] = problem.pipeline_s(grid) / unit_s
        for number, (wait, families) in enumerate(
            zip(problem.waits, self.terms.waits, strict=True)
        ):
            seconds = -wait.hidden_s
            for family, hops in enumerate(families):
                if not len(hops.sender):
                    continue
                slowest = hops.each(grid).max(axis=1)
                seconds = seconds + hops.scale * slowest
                for row in range(problem.rows):
                    known[self.hops[number, family, row].name] = float(slowest[row]) / unit_s
            known[self.waits[number].name] = max(0.0, float(seconds.max())) / unit_s
        return known
