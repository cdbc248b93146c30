"""Solves a placement problem: finds the best order of nodes it can and a lower bound on every
order.

The search starts from orders that are compared with almost free bounds. With few nodes, a short
local search follows and then an exact one. With many nodes, local search runs from several starts,
then integer programs over classes of nodes, then local search again. The result is never worse than
the best order given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED, OutOfTime
from planner.placement.bounds.nodes import cheapest_s, nodes_bound_s
from planner.placement.exact.solve import MOST_NODES, solve_exactly
from planner.placement.exact.sweep import TOLERANCE
from planner.placement.local.search import polish
from planner.placement.local.starts import near_each_other
from planner.placement.problem.alike import with_alike_merged
from planner.placement.problem.feasible import allowed_order
from planner.placement.problem.problem import PlacementSolution
from planner.placement.problem.terms import terms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.placement.problem.problem import PlacementProblem
    from planner.placement.problem.terms import Terms
    from planner.solver import Solver

PROVEN_GAP = 1e-5
"""A placement this close to its bound, relatively, counts as proven. Solvers overlook less than
this, and programs are kept this far below what they must not reach."""
STARTS = 4
"""Orders that local search starts from on a large cluster."""
FEW_MOVES = 6_000
"""Placements that local search evaluates before an exact search."""
MOVES = 1_000_000
"""Placements that local search evaluates on a large cluster."""


@dataclass(frozen=True, slots=True, eq=False)
class PlacementState:
    """A placement while it is being improved, with its bound. `order` int [N]: the nodes at the
    positions, then the unused nodes."""

    order: NDArray[np.int64]
    objective_s: float
    bound_s: float
    method: str

    @property
    def settled(self) -> bool:
        """Whether the bound is reached, up to rounding."""
        return self.bound_s >= self.objective_s * (1 - TOLERANCE)

    @property
    def proven(self) -> bool:
        return self.bound_s >= self.objective_s * (1 - PROVEN_GAP)

    def bounded(self, bound_s: float, method: str) -> PlacementState:
        if bound_s <= self.bound_s:
            return self
        return replace(self, bound_s=min(bound_s, self.objective_s), method=method)


def solve_placement(
    problem: PlacementProblem,
    *,
    seeds: Sequence[Sequence[int] | NDArray[np.int64]],
    budget: Budget = UNLIMITED,
    solver: Solver | None = None,
) -> PlacementSolution:
    """Finds a placement no worse than any of `seeds` (orders of the nodes at the positions), and a
    bound. When time runs out it returns the best placement so far.

    Raises: ValueError when no placement respects `row_class_allowed`; OutOfTime when there was no
    time to look at any placement.
    """
    if len(problem.node_class) <= MOST_NODES:
        return _solved(problem, seeds, _exactly, budget)
    return _solved(problem, seeds, partial(_largely, solver=solver), budget)


def improve_placement(
    problem: PlacementProblem,
    *,
    seeds: Sequence[Sequence[int] | NDArray[np.int64]],
    budget: Budget = UNLIMITED,
) -> PlacementSolution:
    """Like `solve_placement`, but by local search alone, however few the nodes are. It uses only
    the almost free bounds and a small part of the effort."""
    return _solved(problem, seeds, _quickly, budget.scaled(1 / 200))


def _solved(
    problem: PlacementProblem,
    seeds: Sequence[Sequence[int] | NDArray[np.int64]],
    search: Callable[[Terms, PlacementState, Budget], PlacementState],
    budget: Budget,
) -> PlacementSolution:
    problem = with_alike_merged(problem, budget)
    state = _best_seed(problem, seeds)
    try:
        terms = terms_of(problem)
        state = state.bounded(cheapest_s(terms), "every link the cheapest")
        if not state.settled:
            state = state.bounded(nodes_bound_s(terms, budget), "every node at its best place")
        if not state.settled:
            state = search(terms, state, budget)
    except OutOfTime:
        pass
    return PlacementSolution(
        order=tuple(state.order[: problem.positions].tolist()),
        objective_s=state.objective_s,
        bound_s=state.bound_s,
        method=state.method,
        stopped=budget.stopped(proven=state.proven),
    )


def _best_seed(
    problem: PlacementProblem, seeds: Sequence[Sequence[int] | NDArray[np.int64]]
) -> PlacementState:
    orders = [_completed(problem, np.asarray(seed, dtype=np.int64)) for seed in seeds]
    best = _best_first(problem, orders)[:1]
    if not best:
        order = allowed_order(problem)
        if order is None:
            raise ValueError("no placement keeps to the classes that rows may have")
        best = [order]
    return PlacementState(best[0], problem.objective_s(best[0][: problem.positions]), 0.0, "none")


def _best_first(
    problem: PlacementProblem, orders: Sequence[NDArray[np.int64]]
) -> list[NDArray[np.int64]]:
    """The orders that respect `row_class_allowed`, best first, one for each objective."""
    by_objective: dict[float, NDArray[np.int64]] = {}
    for order in orders:
        by_objective.setdefault(problem.objective_s(order[: problem.positions]), order)
    by_objective.pop(float("inf"), None)
    return [by_objective[objective_s] for objective_s in sorted(by_objective)]


def _completed(problem: PlacementProblem, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Int [N]: the order of the positions, followed by the nodes that it leaves out."""
    left = np.ones(len(problem.node_class), dtype=bool)
    left[order] = False
    return np.concatenate([order, np.flatnonzero(left)])


def _exactly(terms: Terms, state: PlacementState, budget: Budget) -> PlacementState:
    """Solve exactly; where that has to stop early, continue by local search."""
    state = _polished(terms, state, FEW_MOVES, budget)
    if budget.late:
        return state
    proof = solve_exactly(terms, state.order, budget=budget)
    state = _at(terms, state, _completed(terms.problem, proof.order))
    state = state.bounded(proof.bound_s, "sweep over positions with bounds from sets of nodes")
    if state.settled:
        return state
    return _polished(terms, state, round(MOVES * budget.work / 4), budget)


def _largely(
    terms: Terms, state: PlacementState, budget: Budget, *, solver: Solver | None
) -> PlacementState:
    """Bound and improve the best start with the class programs; spend the remaining effort on local
    search."""
    moves = round(MOVES * budget.work)
    best = _quickly(terms, state, budget.scaled(0.5))
    state = best if best.settled else _by_classes(terms, best, budget, solver)
    return state if state.proven else _polished(terms, state, moves - moves // 2, budget)


def _quickly(terms: Terms, state: PlacementState, budget: Budget) -> PlacementState:
    """Improve each of the best starts a little by local search, and keep the best result."""
    starts = _best_first(terms.problem, [state.order, *near_each_other(terms.problem)])[:STARTS]
    moves = round(MOVES * budget.work) // STARTS
    tried = [_polished(terms, _at(terms, state, start), moves, budget) for start in starts]
    return min([state, *tried], key=lambda each: each.objective_s)


def _by_classes(
    terms: Terms, state: PlacementState, budget: Budget, solver: Solver | None
) -> PlacementState:
    from planner.placement.classes.search import solve_classes

    answer = solve_classes(terms.problem, state.order, budget=budget, solver=solver)
    if answer.order is not None:
        state = _at(terms, state, _completed(terms.problem, np.array(answer.order)))
    return state.bounded(answer.bound_s, answer.method)


def _at(terms: Terms, state: PlacementState, order: NDArray[np.int64]) -> PlacementState:
    objective_s = terms.problem.objective_s(order[: terms.problem.positions])
    return replace(state, order=order, objective_s=objective_s)


def _polished(terms: Terms, state: PlacementState, moves: int, budget: Budget) -> PlacementState:
    order = polish(terms, state.order, budget.meter(moves), enough_s=state.bound_s)
    objective_s = terms.problem.objective_s(order[: terms.problem.positions])
    return replace(state, order=order, objective_s=objective_s)
