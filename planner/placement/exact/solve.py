"""Finds the best placement of few nodes, with proof: bounds from sets of nodes, then a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.budget import UNLIMITED, OutOfTime
from planner.placement.bounds.sets import best_walk, pipeline_by_unused, subsets_of, wait_by_unused
from planner.placement.exact.completions import Completions
from planner.placement.exact.partial import Floors
from planner.placement.exact.sweep import TOLERANCE, Sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.placement.problem.problem import PlacementProblem
    from planner.placement.problem.terms import Terms

MOST_NODES = 20
"""All sets of nodes are listed: 2^20 of them take seconds and hundreds of megabytes."""
PATHS = 2
"""Critical paths that the bounds consider: those that take longest."""
NARROW = 64
"""Critical paths above which fewer partial placements are filled, since each takes longer."""
STATES = 1_500_000
"""Most partial placements that are filled, for each order of positions."""


@dataclass(frozen=True, slots=True, eq=False)
class ExactProof:
    """The best placement found: `order` int [positions] and its objective; no placement takes less
    than `bound_s`."""

    order: NDArray[np.int64]
    objective_s: float
    bound_s: float

    @property
    def complete(self) -> bool:
        return self.bound_s >= self.objective_s * (1 - TOLERANCE)


def solve_exactly(
    terms: Terms, order: NDArray[np.int64], *, budget: Budget = UNLIMITED
) -> ExactProof:
    """The best placement with its proof, or as far as the budget allows.

    Raises: ValueError for more than `MOST_NODES` nodes.
    """
    problem = terms.problem
    if len(problem.node_class) > MOST_NODES:
        raise ValueError(f"sets of {len(problem.node_class)} nodes cannot be listed")
    order = order[: problem.positions]
    objective_s = problem.objective_s(order)
    proof = ExactProof(order=order, objective_s=objective_s, bound_s=0.0)
    try:
        if problem.columns == 1 and problem.rows > 1:
            proof = _walked(problem, proof, budget)
        for floors in floors_of(terms, budget):
            floor_s = floors.pipeline_s + float(floors.waits_s.sum())
            bound_s = max(proof.bound_s, min(floor_s, proof.objective_s))
            proof = ExactProof(proof.order, proof.objective_s, bound_s)
            if proof.complete:
                break
            proof = _swept(terms, floors, proof, budget)
            if proof.complete or budget.late:
                break
    except OutOfTime:
        pass
    return proof


def _walked(problem: PlacementProblem, proof: ExactProof, budget: Budget) -> ExactProof:
    """The placement whose only column is the fastest walk along a chief path, if that is better."""
    subsets = subsets_of(len(problem.node_class))
    for path in chief_paths(problem):
        order = best_walk(problem, path, subsets, budget)
        objective_s = problem.objective_s(order)
        if objective_s < proof.objective_s:
            proof = ExactProof(order, objective_s, proof.bound_s)
    return proof


def _swept(terms: Terms, floors: Floors, proof: ExactProof, budget: Budget) -> ExactProof:
    wide = max(1.0, len(terms.problem.path_s) / NARROW)
    states = budget.meter(round(STATES * budget.work / wide))
    found = Sweep(terms, floors, proof.objective_s, states).run()
    order = proof.order if found.order is None else found.order
    bound_s = max(proof.bound_s, min(found.left_s, found.objective_s))
    return ExactProof(order, found.objective_s, bound_s)


def floors_of(terms: Terms, budget: Budget = UNLIMITED) -> Iterator[Floors]:
    """Bounds for filling by rows, then for filling by columns, each with its order of positions.
    Raises: OutOfTime."""
    problem = terms.problem
    rows, columns = range(problem.rows), range(problem.columns)
    subsets = subsets_of(len(problem.node_class))
    waits_left = tuple(wait_by_unused(problem, wait, subsets, budget) for wait in problem.waits)
    waits_s = np.array([max(0.0, float(left[-1])) for left in waits_left])
    pipeline_left, pipeline_s, completions = None, float(problem.path_s.max()), None
    if problem.rows > 1:
        paths = chief_paths(problem)
        pipeline_left = pipeline_by_unused(problem, paths, subsets, budget)
        pipeline_s = max(pipeline_s, float(pipeline_left[-1]))
        completions = Completions(problem, paths, subsets, budget)
    yield Floors(
        pipeline_s=pipeline_s,
        waits_s=waits_s,
        cells=tuple((row, column) for row in rows for column in columns),
        waits_left=waits_left or None,
        pipeline_left=None,
        completions=completions,
    )
    yield Floors(
        pipeline_s=pipeline_s,
        waits_s=waits_s,
        cells=tuple((row, column) for column in columns for row in rows),
        waits_left=None,
        pipeline_left=pipeline_left,
        completions=None,
    )


def chief_paths(problem: PlacementProblem) -> list[int]:
    """The paths that take longest when every link is as cheap as the cheapest."""
    cheapest_s = float(problem.link_s[problem.node_class][:, problem.node_class].min())
    seconds = problem.path_s + problem.path_links.sum(axis=1) * cheapest_s
    return [int(path) for path in np.argsort(-seconds, kind="stable")[:PATHS]]
