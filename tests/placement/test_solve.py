"""Placements as the planner asks for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.budget import Budget
from planner.placement.solve import solve_placement
from tests.every_instance import instances
from tests.placement.problems import least_s, problem_of, random_problem


@pytest.mark.parametrize("seed", range(instances(15, 30)))
def test_few_nodes_are_placed_best_and_proven(seed: int) -> None:
    problem = random_problem(np.random.default_rng(5000 + seed), 7)
    solution = solve_placement(problem, seeds=[range(problem.positions)])
    assert solution.objective_s == pytest.approx(least_s(problem), rel=1e-6)
    assert problem.objective_s(np.array(solution.order)) == solution.objective_s
    assert solution.stopped == "proven"
    assert solution.gap <= 1e-6


def test_equal_links_keep_the_order_given_and_say_so() -> None:
    problem = problem_of(np.full((128, 128), 25e9), 8, 16)
    solution = solve_placement(problem, seeds=[range(128)])
    assert solution.order == tuple(range(128))
    assert (solution.stopped, solution.gap) == ("proven", 0.0)
    assert solution.method == "every link the cheapest"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(instances(1, 3)))
def test_many_nodes_are_no_worse_than_any_seed_and_come_out_the_same_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bandwidth = 25e9 * np.exp(-np.abs(rng.normal(0, 0.3, (40, 40))))
    problem = problem_of(bandwidth, 4, 9)
    seeds = [np.arange(36), rng.permutation(40)[:36]]
    first = solve_placement(problem, seeds=seeds, budget=Budget(work=0.1))
    assert first.objective_s < min(problem.objective_s(order) for order in seeds)
    assert first.objective_s == problem.objective_s(np.array(first.order))
    assert first.bound_s <= first.objective_s
    assert len(set(first.order)) == 36
    assert first == solve_placement(problem, seeds=seeds, budget=Budget(work=0.1))


def test_a_seed_of_nodes_that_rows_must_not_have_is_replaced() -> None:
    problem = problem_of(np.full((6, 6), 25e9), 2, 3)
    allowed = np.array([[False] * 3 + [True] * 3, [True] * 3 + [False] * 3])
    solution = solve_placement(replace(problem, row_class_allowed=allowed), seeds=[range(6)])
    assert set(solution.order[:3]) == {3, 4, 5}
    assert solution.stopped == "proven"


def test_rows_that_cannot_be_filled_are_an_error() -> None:
    problem = problem_of(np.full((6, 6), 25e9), 2, 3)
    allowed = np.array([[True] * 2 + [False] * 4, [True] * 6])
    with pytest.raises(ValueError, match="no placement"):
        solve_placement(replace(problem, row_class_allowed=allowed), seeds=[range(6)])


def test_the_clock_ends_it_and_the_result_says_so() -> None:
    rng = np.random.default_rng(0)
    bandwidth = 25e9 * np.exp(-np.abs(rng.normal(0, 0.3, (64, 64))))
    problem = problem_of(bandwidth, 8, 8)
    budget = replace(Budget.lasting(0.3), work=100.0)
    solution = solve_placement(problem, seeds=[range(64)], budget=budget)
    assert solution.stopped == "time limit"
    assert solution.objective_s <= problem.objective_s(np.arange(64))


@pytest.mark.parametrize("seed", range(instances(10, 20)))
def test_many_nodes_of_which_few_are_unlike_the_others_are_placed_best(seed: int) -> None:
    """Two odd nodes of 50 have at most 2,450 places, and all are tried."""
    rng = np.random.default_rng(seed)
    bandwidth = np.full((50, 50), 25e9)
    for odd in (0, 1):
        bandwidth[odd, :] = bandwidth[:, odd] = 25e9 * rng.uniform(0.2, 0.9)
    problem = problem_of(bandwidth, 5, 10)
    solution = solve_placement(problem, seeds=[rng.permutation(50)], budget=Budget(work=0.01))
    assert solution.stopped == "proven"
    assert problem.objective_s(np.array(solution.order)) == solution.objective_s
    assert sorted(solution.order) == list(range(50))
    for _ in range(200):
        order = rng.permutation(50)
        assert problem.objective_s(order) >= solution.objective_s * (1 - 1e-9)
