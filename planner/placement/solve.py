"""Solves a placement problem: finds the best order of nodes it can and a lower bound on every
order.

The search starts from orders that are compared with almost free bounds. Where only a few placements
differ, all of them are priced. With few nodes, a short
local search follows and then an exact one. With many nodes, local search runs from several starts,
then integer programs over classes of nodes, then local search again. The result is never worse than
the best order given.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Protocol

import numpy as np

from planner.budget import UNLIMITED, OutOfTime
from planner.placement.bounds.nodes import cheapest_s, nodes_bound_s
from planner.placement.bounds.simpler import bounds_of
from planner.placement.exact.every_order import every_placement, with_classes
from planner.placement.exact.solve import MOST_NODES, solve_exactly
from planner.placement.exact.sweep import TOLERANCE
from planner.placement.local.search import polish
from planner.placement.local.starts import near_each_other
from planner.placement.problem.alike import with_alike_merged
from planner.placement.problem.problem import PlacementSolution
from planner.placement.problem.terms import terms_of
from planner.placement.seeds import best_first, best_seed, completed
from planner.placement.state import PlacementState, ProblemViews

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.placement.problem.problem import PlacementProblem
    from planner.solver import Solver

SWEPT = "sweep over positions with bounds from sets of nodes"
PRICED_ALL = "all placements priced"
STARTS = 4
"""Orders that local search starts from on a large cluster."""
FEW_MOVES = 6_000
"""Placements that local search evaluates before an exact search."""
WORTHWHILE = 1e-4
"""Share of the step by which a bound must be able to rise for a search to raise it."""
LARGE = 64
"""Nodes of a cluster from which on local search takes all its effort."""
BEHIND = 1e-3
"""The class programs are tried if the problem's own bound, from which they start, lies below the
known one by at most this share."""
MOVES = 1_000_000
"""Placements that local search evaluates on a large cluster."""


class _Search(Protocol):
    def __call__(
        self, views: ProblemViews, state: PlacementState, budget: Budget
    ) -> PlacementState: ...


def solve_placement(
    problem: PlacementProblem,
    *,
    seeds: Sequence[Sequence[int] | NDArray[np.int64]],
    budget: Budget = UNLIMITED,
    solver: Solver | None = None,
    known_s: float = 0.0,
    enough_s: float = inf,
) -> PlacementSolution:
    """Finds a placement no worse than any of `seeds` (orders of the nodes at the positions), and a
    bound. `known_s` is a bound known beforehand; the search ends when the bound reaches `enough_s`.
    When time runs out it returns the best placement so far.

    Raises: ValueError when no placement respects `row_class_allowed`; OutOfTime when there was no
    time to look at any placement.
    """
    search: _Search = partial(_largely, solver=solver)
    if len(problem.node_class) <= MOST_NODES:
        search = _exactly
    return _solved(problem, seeds, search, budget, known_s=known_s, enough_s=enough_s)


def improve_placement(
    problem: PlacementProblem,
    *,
    seeds: Sequence[Sequence[int] | NDArray[np.int64]],
    budget: Budget = UNLIMITED,
    known_s: float = 0.0,
    enough_s: float = inf,
) -> PlacementSolution:
    """Like `solve_placement`, but by local search alone, however few the nodes are. It uses only
    the almost free bounds and a small part of the effort."""
    budget = budget.scaled(1 / 200)
    return _solved(problem, seeds, _quickly, budget, known_s=known_s, enough_s=enough_s)


def exact_solution(
    problem: PlacementProblem,
    *,
    seeds: Sequence[Sequence[int] | NDArray[np.int64]],
    budget: Budget = UNLIMITED,
) -> PlacementSolution:
    """The exact search alone, after a short local one. It takes problems of few nodes without a
    closing. Raises: OutOfTime."""
    problem = with_alike_merged(problem, budget)
    terms = terms_of(problem)
    order = polish(terms, best_seed(problem, seeds).order, budget.meter(FEW_MOVES / 3))
    proof = solve_exactly(terms, order, budget=budget)
    return PlacementSolution(
        order=tuple(proof.order.tolist()),
        objective_s=proof.objective_s,
        bound_s=proof.bound_s,
        method=SWEPT,
        stopped=budget.stopped(proven=proof.complete),
    )


def quick_bound_s(problem: PlacementProblem, budget: Budget = UNLIMITED) -> float:
    """An almost free bound on every placement. Raises: OutOfTime."""
    found = 0.0
    for bounding in bounds_of(with_alike_merged(problem, budget)):
        terms = terms_of(bounding)
        found = max(found, cheapest_s(terms), nodes_bound_s(terms, budget))
    return found


def _solved(
    problem: PlacementProblem,
    seeds: Sequence[Sequence[int] | NDArray[np.int64]],
    search: _Search,
    budget: Budget,
    *,
    known_s: float,
    enough_s: float,
) -> PlacementSolution:
    problem = with_alike_merged(problem, budget)
    state = best_seed(problem, seeds)
    state = state.bounded(min(known_s, state.objective_s), "bound over all placements")
    state = replace(state, enough_s=enough_s)
    try:
        views = ProblemViews.of(problem, state.order)
        state = state.bounded(cheapest_s(views.at_most), "every link the cheapest")
        if not state.settled and views.room_s(state) > 0:
            bound_s = nodes_bound_s(views.at_most, budget)
            state = replace(state, own_s=bound_s)
            state = state.bounded(bound_s, "every node at its best place")
        if not state.settled:
            state = _of_all(views, state)
        if not state.settled:
            state = search(views, state, budget)
    except OutOfTime:
        pass
    return PlacementSolution(
        order=tuple(state.order[: problem.positions].tolist()),
        objective_s=state.objective_s,
        bound_s=state.bound_s,
        method=state.method,
        stopped=budget.stopped(proven=state.proven),
    )


def _of_all(views: ProblemViews, state: PlacementState) -> PlacementState:
    """The best of all placements, where only a few differ."""
    problem = views.problem
    classes = every_placement(problem)
    if classes is None:
        return state
    grids = classes.reshape(-1, problem.rows, problem.columns)
    seconds = terms_of(problem).objectives_s(grids)
    best = int(seconds.argmin())
    if seconds[best] < state.objective_s * (1 - TOLERANCE):
        state = views.better(state, with_classes(problem, classes[best]))
    return state.bounded(min(float(seconds[best]), state.objective_s), PRICED_ALL)


def _exactly(views: ProblemViews, state: PlacementState, budget: Budget) -> PlacementState:
    """Solve exactly; where that has to stop early, continue by local search."""
    state = _polished(views, state, FEW_MOVES, budget)
    if budget.late or state.settled:
        return state
    if views.room_s(state) > WORTHWHILE * state.objective_s:
        proof = solve_exactly(views.at_most, state.order, budget=budget)
        state = views.better(state, completed(views.problem, proof.order))
        state = state.bounded(proof.bound_s, SWEPT)
    if state.settled:
        return state
    moves = round(MOVES * budget.work * _size(views.problem) / 4)
    return _polished(views, state, moves, budget)


def _largely(
    views: ProblemViews, state: PlacementState, budget: Budget, *, solver: Solver | None
) -> PlacementState:
    """Bound and improve the best start with the class programs; spend the remaining effort on local
    search."""
    moves = round(MOVES * budget.work)
    state = _quickly(views, state, budget.scaled(0.5))
    behind = state.own_s < state.bound_s * (1 - BEHIND)
    if not (state.settled or behind) and views.room_s(state) > WORTHWHILE * state.objective_s:
        state = _by_classes(views, state, budget, solver)
    return state if state.proven else _polished(views, state, moves - moves // 2, budget)


def _quickly(views: ProblemViews, state: PlacementState, budget: Budget) -> PlacementState:
    """Improve each of the best starts a little by local search, and keep the best result."""
    near = near_each_other(views.likely.problem)
    starts = best_first(views.problem, [state.order, *near])[:STARTS]
    moves = round(MOVES * budget.work * _size(views.problem)) // STARTS
    tried = [_polished(views, views.at(state, start), moves, budget) for start in starts]
    return min([state, *tried], key=lambda each: each.objective_s)


def _size(problem: PlacementProblem) -> float:
    """Share of the effort of local search on a large cluster that one of this size gets."""
    return min(1.0, len(problem.node_class) / LARGE)


def _by_classes(
    views: ProblemViews, state: PlacementState, budget: Budget, solver: Solver | None
) -> PlacementState:
    from planner.placement.classes.search import solve_classes

    answer = solve_classes(views.at_most.problem, state.order, budget=budget, solver=solver)
    if answer.order is not None:
        state = views.better(state, completed(views.problem, np.array(answer.order)))
    return state.bounded(answer.bound_s, answer.method)


def _polished(
    views: ProblemViews, state: PlacementState, moves: int, budget: Budget
) -> PlacementState:
    order = polish(views.likely, state.order, budget.meter(moves), enough_s=state.bound_s)
    return views.better(state, order)
