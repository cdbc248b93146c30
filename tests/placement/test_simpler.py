"""Bounds carried from one problem to another, idle paths, and problems with less to a placement."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from planner.budget import UNLIMITED
from planner.placement.bounds.paths import without_idle_paths
from planner.placement.bounds.simpler import bounds_of, likely
from planner.placement.bounds.transfer import SolvedProblem, transferred_s
from planner.placement.problem.problem import Closing
from planner.placement.solve import solve_placement
from tests.every_instance import instances
from tests.placement.problems import least_s, random_problem

if TYPE_CHECKING:
    from planner.placement.problem.problem import PlacementProblem


def with_closing(problem: PlacementProblem, rng: np.random.Generator) -> PlacementProblem:
    """Paths that end in several rows, each followed by that row's rings, and a way back to the
    first row."""
    rows, paths = problem.rows, len(problem.path_s)
    waits = [wait for wait in problem.waits if wait.families]
    if not waits or rows < 3:
        return problem
    closing = Closing(
        family=waits[0].families[0],
        path_row=np.concatenate(([0], rng.integers(0, rows, paths - 1))),
        slack_s=np.concatenate(([0.0], rng.random(rows - 1))),
    )
    links = np.column_stack((problem.path_links, rng.random(paths)))
    return replace(problem, closing=closing, path_links=links)


@pytest.mark.parametrize("seed", range(instances(15, 30)))
def test_simpler_problems_have_no_larger_an_objective(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = with_closing(random_problem(rng, 8), rng)
    assert likely(problem).closing is None
    for _ in range(20):
        order = rng.permutation(len(problem.node_class))[: problem.positions]
        for simpler in bounds_of(problem):
            assert simpler.objective_s(order) <= problem.objective_s(order) * (1 + 1e-12)


@pytest.mark.parametrize("seed", range(instances(15, 30)))
def test_placements_of_rows_with_their_own_rings_are_bounded(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = with_closing(random_problem(rng, 6), rng)
    found = solve_placement(
        problem, seeds=[range(problem.positions)], budget=UNLIMITED.scaled(0.02)
    )
    best_s = least_s(problem)
    assert found.bound_s <= best_s * (1 + 1e-9)
    assert (
        best_s * (1 - 1e-9)
        <= found.objective_s
        <= problem.objective_s(np.arange(problem.positions))
    )


@pytest.mark.parametrize("seed", range(instances(15, 30)))
def test_idle_paths_change_no_objective(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, 8)
    more = 60
    problem = replace(
        problem,
        path_s=rng.random(more),
        path_links=rng.random((more, problem.rows - 1)) * rng.integers(0, 2, (more, 1)),
    )
    fewer = without_idle_paths(problem)
    assert len(fewer.path_s) < more
    for _ in range(20):
        order = rng.permutation(len(problem.node_class))[: problem.positions]
        assert fewer.objective_s(order) == pytest.approx(problem.objective_s(order), rel=1e-12)


def test_bounds_carried_over_hold() -> None:
    """From a problem to others whose links, waits and paths are longer or shorter by shares."""
    carried = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        problem = random_problem(rng, 6)
        known = SolvedProblem(problem=problem, bound_s=least_s(problem))
        share = rng.uniform(0.5, 2.0, problem.link_s.shape)
        other = replace(
            problem,
            link_s=problem.link_s * share,
            path_s=problem.path_s * rng.uniform(0.5, 2.0, len(problem.path_s)),
            path_links=problem.path_links * rng.uniform(0.5, 2.0),
            waits=tuple(
                replace(wait, hidden_s=wait.hidden_s * rng.uniform(0.5, 1.5))
                for wait in problem.waits
            ),
        )
        bound_s = transferred_s(known, other)
        assert bound_s <= least_s(other) * (1 + 1e-9)
        carried += bound_s > 0
    assert carried > 30


@pytest.mark.parametrize("seed", range(10))
def test_a_bound_known_before_changes_no_answer(seed: int) -> None:
    problem = random_problem(np.random.default_rng(seed), 6)
    seeds = [range(problem.positions)]
    found = solve_placement(problem, seeds=seeds)
    again = solve_placement(problem, seeds=seeds, known_s=found.bound_s)
    assert again.objective_s == pytest.approx(found.objective_s, rel=1e-9)
    assert again.bound_s == pytest.approx(found.bound_s, rel=1e-9)
