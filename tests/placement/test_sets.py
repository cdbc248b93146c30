"""Bounds from sets of nodes, completions and exchanges of columns, against enumeration."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from planner.placement.bounds.sets import pipeline_by_unused, subsets_of, wait_by_unused
from planner.placement.exact.completions import Completions
from planner.placement.problem.problem import RingFamily, Wait
from planner.placement.problem.symmetry import column_relations, smaller_columns
from planner.placement.problem.terms import terms_of
from tests.every_instance import instances
from tests.placement.problems import least_s, problem_of, random_problem


@pytest.mark.parametrize("seed", range(instances(10, 20)))
def test_one_family_of_rings_alone_is_solved_by_sets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, 7)
    hop_s = 0.1 + rng.random((problem.classes, problem.classes))
    family = RingFamily(
        rings=(tuple(range(problem.columns)),), hop_s=hop_s, scale=1 + rng.random(problem.rows)
    )
    wait = Wait(families=(family,), hidden_s=0.1 * rng.random(problem.rows))
    links = np.zeros_like(problem.path_links)
    alone = replace(problem, waits=(wait,), path_links=links, path_s=0 * problem.path_s)
    subsets = subsets_of(len(problem.node_class))
    bound_s = max(0.0, float(wait_by_unused(alone, wait, subsets)[-1]))
    assert bound_s == pytest.approx(least_s(alone), rel=1e-12)


@pytest.mark.parametrize("seed", range(instances(10, 20)))
def test_one_path_alone_is_solved_by_sets(seed: int) -> None:
    problem = random_problem(np.random.default_rng(seed), 7)
    if problem.rows == 1:
        return
    alone = replace(
        problem,
        lockstep=1,
        waits=(),
        path_s=problem.path_s[:1],
        path_links=problem.path_links[:1],
    )
    subsets = subsets_of(len(problem.node_class))
    bound_s = float(pipeline_by_unused(alone, [0], subsets)[-1])
    assert bound_s == pytest.approx(least_s(alone), rel=1e-12)


def test_two_columns_share_what_is_left_in_the_best_way() -> None:
    rng = np.random.default_rng(3)
    problem = problem_of(25e9 * (1 - 0.5 * rng.random((9, 9))), 4, 2)
    path = int(problem.path_links.astype(bool).sum(axis=1).argmax())
    completions = Completions(problem, [path], subsets_of(9))
    left = [2, 3, 4, 5, 6, 7, 8]
    bound = completions.pipeline_s(
        0, np.array([sum(1 << node for node in left)]), np.array([[0, 1]]), np.zeros((1, 0, 2))
    )
    coefficients = problem.path_links[path]

    def cost(nodes: tuple[int, ...]) -> float:
        return float(coefficients @ problem.link_s[list(nodes[:-1]), list(nodes[1:])])

    best = min(
        max(cost((0, *order[:3])), cost((1, *order[3:6]))) for order in permutations(left, 6)
    )
    assert bound[0] == pytest.approx(best, rel=1e-12)


def test_columns_of_one_ring_turn_around() -> None:
    problem = problem_of(np.full((8, 8), 25e9), 2, 4)
    assert smaller_columns(terms_of(problem)) == ((), (0,), (0,), (0,))


@pytest.mark.parametrize("seed", range(instances(15, 30)))
def test_columns_that_can_change_places_are_found(seed: int) -> None:
    terms = terms_of(random_problem(np.random.default_rng(seed), 8))
    relations = column_relations(terms)
    columns = terms.problem.columns
    kept = [
        order
        for order in permutations(range(columns))
        if (relations[np.ix_(order, order)] == relations).all()
    ]
    for column, smaller in enumerate(smaller_columns(terms)):
        expected = {
            fixed
            for fixed in range(column)
            for order in kept
            if order[: fixed + 1] == (*range(fixed), column)
        }
        assert set(smaller) == expected
