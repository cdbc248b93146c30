"""Bounds are below every placement, and reach the best one where they should."""

from __future__ import annotations

import numpy as np
import pytest

from planner.placement.bounds.large_parts import reached_s
from planner.placement.bounds.nodes import cheapest_s, nodes_bound_s
from planner.placement.problem.terms import terms_of
from tests.every_instance import instances
from tests.placement.problems import least_s, problem_of, random_problem


@pytest.mark.parametrize("seed", range(instances(30, 60)))
def test_no_placement_is_below_them(seed: int) -> None:
    problem = random_problem(np.random.default_rng(4000 + seed), 7, device_types=1 + seed % 2)
    terms = terms_of(problem)
    least = least_s(problem) * (1 + 1e-9)
    assert cheapest_s(terms) <= least
    assert nodes_bound_s(terms) <= least


def test_equal_links_are_bounded_by_any_placement() -> None:
    problem = problem_of(np.full((64, 64), 25e9), 8, 8)
    terms = terms_of(problem)
    assert cheapest_s(terms) == pytest.approx(problem.objective_s(np.arange(64)), rel=1e-12)


def test_slow_nodes_that_must_be_used_are_in_the_bound() -> None:
    """Four of 16 nodes are slow: the last of four rows hides most of their ring, and a pipeline
    passes through each of them."""
    bandwidth = np.full((16, 16), 25e9)
    bandwidth[:4] = bandwidth[:, :4] = 10e9
    problem = problem_of(bandwidth, 4, 4)
    ring_s = 1.5 * 43.75e9 / 4 / 10e9 - 3 * 0.040
    link_s = 64 / 2 * 2 * 8.4e6 / 10e9
    assert nodes_bound_s(terms_of(problem)) == pytest.approx(ring_s + link_s, rel=1e-9)
    order = np.concatenate([np.arange(4, 16), np.arange(4)])
    assert problem.objective_s(order) == pytest.approx(ring_s + link_s, rel=1e-9)


@pytest.mark.parametrize("seed", range(instances(20, 60)))
def test_nodes_reach_a_ring_from_the_limit_that_joins_enough_of_them(seed: int) -> None:
    """Every limit tried in turn: nodes that hops up to it join, directly or over others."""
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, 8, device_types=2)
    hops = next((hops for wait in terms_of(problem).waits for hops in wait), None)
    if hops is None:
        return
    count = np.bincount(problem.node_class, minlength=problem.classes)
    allowed, nodes = problem.row_class_allowed[0], int(rng.integers(2, 6))
    found = reached_s(hops, count, allowed, nodes)
    there = np.flatnonzero(allowed[problem.node_class])
    kinds = problem.node_class[there]
    between = np.minimum(hops.seconds, hops.seconds.T)[np.ix_(kinds, kinds)]
    least = np.full(problem.classes, np.inf)
    for limit in np.unique(between)[::-1]:
        near = (between <= limit) & ~np.eye(len(there), dtype=bool)
        joined = np.linalg.matrix_power(near + np.eye(len(there)), max(len(there), 1)) > 0
        for member in np.flatnonzero(joined.sum(axis=1) >= nodes):
            least[kinds[member]] = limit
    alone = (count > 0) & (count < nodes)
    assert (found[alone] == least[alone]).all()
    assert (found <= least).all()
