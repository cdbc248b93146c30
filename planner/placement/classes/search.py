"""Placement on large clusters by classes of nodes: a proven bound, and a placement near it.

The possible waits are enumerated (`Thresholds`). For each combination that could be best, an
integer program over cells bounds the pipelines (`ClassProgram`). The combination with the lowest
bound comes first, until no bound is below the best placement known. Placements come from two
sources: the programs' assignments (`decode`), and a search (`Repair`) that keeps to the waits and
to pipelines fast enough to improve the placement.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED, OutOfTime, Stopped
from planner.placement.classes.best_grid import BELOW, BestGrid
from planner.placement.classes.fabric import coarser, fabric_of
from planner.placement.classes.program import ClassProgram
from planner.placement.classes.thresholds import Thresholds
from planner.solver import Limits, Solver

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.placement.classes.fabric import NestedBlocks
    from planner.placement.problem.problem import PlacementProblem

SIZE = 1200
"""Most (row, cell) pairs in a program; on a larger cluster the smallest blocks are merged."""
NODES = (60, 300)
"""Branch-and-bound nodes of the first and of the second program that asks the same question."""
EFFORT = 900
"""Branch-and-bound nodes that all programs may take together."""
PROGRAM_EFFORT = 20
"""What a program counts towards `EFFORT` in addition to its nodes."""
ROOT_ROUNDS = 20
"""Solver rounds of the programs that only ask whether such placements exist."""
REPAIRS = 12
"""Combinations of waits at which a better placement is sought before any combination is bounded."""
SHORT = 1e-5
"""How far below a step a program is kept, as a share of that step: more than solvers overlook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassAnswer:
    """`order`: the node at every position, better than the incumbent; None where no better one was
    found. No placement takes less than `bound_s`."""

    order: tuple[int, ...] | None
    bound_s: float
    method: str
    stopped: Stopped


def solve_classes(
    problem: PlacementProblem,
    incumbent: Sequence[int] | NDArray[np.int64],
    *,
    enough: float = 1e-5,
    budget: Budget = UNLIMITED,
    solver: Solver | None = None,
) -> ClassAnswer:
    """Bound a problem and improve a placement of it. The search ends when bound and placement are
    closer than the share `enough`.

    Raises: OutOfTime when there was no time to begin.
    """
    search = ClassSearch(
        problem, np.asarray(incumbent), enough=enough, budget=budget, solver=solver or Solver()
    )
    with suppress(OutOfTime):
        search.run()
    return search.answer()


class ClassSearch:
    """The state of a search: the thresholds with their bounds, and the best grid of classes."""

    def __init__(
        self,
        problem: PlacementProblem,
        incumbent: NDArray[np.int64],
        *,
        enough: float,
        budget: Budget,
        solver: Solver,
    ) -> None:
        self.enough, self.budget, self.solver = enough, budget, solver
        self.problem = problem = _with_hops(problem)
        self.fabric = _small_fabric(problem, budget)
        self.thresholds = Thresholds.of(problem, self.fabric)
        self.best = BestGrid(problem, incumbent, enough=enough)
        self.steps_s: list[float] = []
        self.programs = 0
        self.effort = budget.meter(EFFORT * budget.work)
        self.cut = False
        """Whether the clock ended a program, whose answer would then not repeat."""
        self._tried: set[tuple[tuple[int, ...], float, int]] = set()

    # ------------------------------------------------------------------ the search

    def run(self) -> None:
        self._bound_all()
        self._waits_apart()
        self._repairs()
        self._start_at_shortest_waits()
        while not self._ended() and not self.effort.ended:
            at = self.thresholds.lowest
            trial = next((t for t in self._trials(at) if (at, *t) not in self._tried), None)
            if trial is None:
                break
            self._tried.add((at, *trial))
            below_s, nodes = trial
            take = self._program(at, nodes, below_s)
            self._repair(at, seed=len(self._tried))
            if take is not None and not self._ended():
                self._repair(at, seed=len(self._tried), take=take)

    def _start_at_shortest_waits(self) -> None:
        """Build a placement from the root of the program with the shortest waits still possible."""
        open_s = np.where(np.isinf(self.thresholds.pipeline_s), np.inf, self.thresholds.waits_s)
        shortest = np.unravel_index(int(open_s.argmin()), open_s.shape)
        at = tuple(int(index) for index in shortest)
        enough_s = self.best.step_s * (1 - self.enough) - float(self.thresholds.waits_s[at])
        if self._ended() or enough_s <= self.thresholds.pipeline_s[at]:
            return
        take = self._program(at, 1, enough_s)
        if take is not None:
            self._repair(at, seed=0, take=take)

    def _trials(self, at: tuple[int, ...]) -> Iterator[tuple[float, int]]:
        """Targets (pipeline seconds, node limit) to try for one combination of waits: just below
        the largest and smallest possible next bound, where infeasibility shows soon, then just
        below the incumbent."""
        enough_s = self.best.step_s * (1 - self.enough) - float(self.thresholds.waits_s[at])
        known_s = float(self.thresholds.pipeline_s[at])
        short = [s - SHORT * (s - self.steps_s[0]) for s in self.steps_s]
        steps = [s for s in short if known_s < s * BELOW <= enough_s]
        for nodes in NODES:
            for below_s in dict.fromkeys((*steps[-1:], *steps[:1], enough_s)):
                yield below_s, nodes

    def answer(self) -> ClassAnswer:
        bound_s = min(self.thresholds.bound_s * BELOW, self.best.step_s)
        unproven = Stopped.TIME_LIMIT if self.cut else self.budget.stopped(proven=False)
        return ClassAnswer(
            order=self.best.order,
            bound_s=bound_s,
            method=f"integer programs over {self.fabric.cells} cells of "
            f"{len(self.problem.node_class)} nodes, {self.programs} solved",
            stopped=Stopped.PROVEN if self._proven else unproven,
        )

    def _ended(self) -> bool:
        return self.cut or self.budget.late or self._proven

    @property
    def _proven(self) -> bool:
        return self.thresholds.bound_s >= self.best.step_s * (1 - self.enough) * BELOW

    # ------------------------------------------------------------------ bounds

    def _bound_all(self) -> None:
        """Bound the pipelines without any limit on waits."""
        program = ClassProgram(
            self.problem, self.fabric, self.thresholds.hops(self.thresholds.last), self.budget
        )
        self.steps_s = sorted({program.least_s, *program.steps_s})
        self.thresholds.raise_below(self.thresholds.last, program.least_s)

    def _waits_apart(self) -> None:
        """Find, by bisection, the least that each wait can be when the others are free."""
        for axis, size in enumerate(self.thresholds.waits_s.shape):
            low, high = 0, size - 1
            while low < high and not self._ended():
                middle = (low + high) // 2
                at = list(self.thresholds.last)
                at[axis] = middle
                self._program(tuple(at), 1)
                if self.thresholds.pipeline_s[tuple(at)] == np.inf:
                    low = middle + 1
                else:
                    high = middle

    def _program(
        self, at: tuple[int, ...], nodes: int, below_s: float | None = None
    ) -> NDArray[np.int64] | None:
        """Bound the pipelines under a combination, looking only for those that take at most
        `below_s`. Returns an assignment's nodes by [row, cell] if it could improve on the best
        placement, else None."""
        program = ClassProgram(self.problem, self.fabric, self.thresholds.hops(at), self.budget)
        if below_s is not None:
            program.keep_below(below_s)
        limits = Limits(
            nodes=max(1, round(nodes * min(1.0, self.budget.work))), relative_gap=self.enough / 2
        )
        if below_s is None:
            limits = replace(limits, rounds=ROOT_ROUNDS)
        answer = self.solver.solve(program.rows.problem, limits, budget=self.budget)
        self.programs += 1
        self.effort.spend(PROGRAM_EFFORT + (answer.nodes or 0))
        self.cut = self.cut or not answer.repeatable
        if answer.status == "infeasible":
            self.thresholds.raise_below(at, np.inf if below_s is None else below_s)
        elif answer.bound is not None:
            bound_s = program.least_s + program.unit_s * max(0.0, answer.bound)
            self.thresholds.raise_below(at, bound_s)
        if not answer.values or answer.objective is None:
            return None
        reached_s = program.least_s + program.unit_s * answer.objective
        if reached_s + self.thresholds.waits_s[at] >= self.best.step_s * (1 - self.enough / 2):
            return None
        take = np.zeros((self.problem.rows, self.fabric.cells), dtype=np.int64)
        for (row, cell), variable in program.take.items():
            take[row, cell] = round(answer.values[variable.name])
        return take

    # ------------------------------------------------------------------ placements

    def _repair(
        self, at: tuple[int, ...], *, seed: int, take: NDArray[np.int64] | None = None
    ) -> None:
        self.best.repair(
            self.thresholds,
            at,
            self.fabric,
            seed=seed,
            budget=self.budget,
            ended=self._ended,
            take=take,
        )

    def _repairs(self) -> None:
        """Repair the best placement under combinations that could improve on it."""
        for _ in range(2):
            total = (self.thresholds.waits_s + self.thresholds.pipeline_s).ravel()
            order = np.argsort(total, kind="stable")
            promising = order[total[order] < self.best.step_s * (1 - self.enough)]
            count = min(len(promising), max(1, round(REPAIRS * self.budget.work)))
            for index in promising[np.linspace(0, len(promising) - 1, count).astype(int)]:
                at = tuple(int(i) for i in np.unravel_index(index, self.thresholds.waits_s.shape))
                if self._ended():
                    return
                self._repair(at, seed=0)


def _with_hops(problem: PlacementProblem) -> PlacementProblem:
    """The same problem, keeping only the families of rings that have hops."""
    waits = tuple(
        replace(wait, families=tuple(f for f in wait.families if any(len(r) > 1 for r in f.rings)))
        for wait in problem.waits
    )
    return replace(problem, waits=waits)


def _small_fabric(problem: PlacementProblem, budget: Budget) -> NestedBlocks:
    fabric = fabric_of(problem, budget)
    while fabric.cells * problem.rows > SIZE and fabric.cells > fabric.qualities:
        fabric = coarser(fabric)
    return fabric
