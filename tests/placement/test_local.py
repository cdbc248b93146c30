"""Local search, and the orders it starts from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.budget import UNLIMITED
from planner.placement.local.search import polish
from planner.placement.local.starts import near_each_other
from planner.placement.problem.feasible import allowed_order
from planner.placement.problem.terms import terms_of
from planner.placement.solve import solve_placement
from tests.every_instance import instances
from tests.placement.problems import least_s, problem_of, random_problem


@pytest.mark.parametrize("seed", range(12))
def test_it_is_never_worse_than_its_start_and_repeats(seed: int) -> None:
    rng = np.random.default_rng(7000 + seed)
    problem = random_problem(rng, 14, device_types=1 + seed % 2)
    order = allowed_order(problem)
    if order is None:
        return
    found = [polish(terms_of(problem), order, UNLIMITED.meter(3_000)) for _ in range(2)]
    assert sorted(found[0].tolist()) == list(range(len(problem.node_class)))
    np.testing.assert_array_equal(found[0], found[1])
    objective_s = problem.objective_s(found[0][: problem.positions])
    assert objective_s <= problem.objective_s(order[: problem.positions])


def test_it_mostly_finds_the_best_of_seven_nodes() -> None:
    reached = 0
    for seed in range(20):
        problem = random_problem(np.random.default_rng(8000 + seed), 7)
        start = np.arange(len(problem.node_class))
        order = polish(terms_of(problem), start, UNLIMITED.meter(2_500))
        least = least_s(problem)
        reached += problem.objective_s(order[: problem.positions]) <= least * (1 + 1e-9)
    assert reached >= 17


def test_it_ends_at_its_effort_and_once_it_is_good_enough() -> None:
    rng = np.random.default_rng(0)
    bandwidth = 25e9 * np.exp(-np.abs(rng.normal(0, 0.3, (48, 48))))
    problem = problem_of(bandwidth, 6, 8)
    little, enough = UNLIMITED.meter(1_000), UNLIMITED.meter(10**9)
    polish(terms_of(problem), np.arange(48), little)
    assert -100 * 48 < little.left <= 0
    start_s = problem.objective_s(np.arange(48))
    polish(terms_of(problem), np.arange(48), enough, enough_s=start_s)
    assert enough.left > 10**9 - 10**6


def test_nodes_listed_mixed_are_sorted_by_site_and_slow_ones_come_last() -> None:
    rng = np.random.default_rng(1)
    site = rng.permutation(np.repeat([0, 1], 16))
    bandwidth = np.where(site[:, None] == site, 25e9, 1e9)
    bandwidth[5] = bandwidth[:, 5] = 0.5e9
    orders = near_each_other(problem_of(bandwidth, 4, 8))
    assert all(sorted(order.tolist()) == list(range(32)) for order in orders)
    assert any(order[-1] == 5 for order in orders)
    changes = [int((np.diff(site[order[order != 5]]) != 0).sum()) for order in orders]
    assert min(changes) == 1


@pytest.mark.parametrize("free", ["some", "all"])
def test_links_that_take_no_time_are_no_reason_to_divide_by(free: str) -> None:
    """A warning fails the test. With `some`, the nodes of one site reach each other at once."""
    site = np.repeat([0, 1], 8)
    problem = problem_of(np.where(site[:, None] == site, 25e9, 1e9), 4, 4)
    kept = 0.0 if free == "all" else (site[:, None] != site).astype(float)
    families = [
        replace(problem.waits[0].families[0], hop_s=problem.waits[0].families[0].hop_s * kept)
    ]
    problem = replace(
        problem,
        link_s=problem.link_s * kept,
        waits=(replace(problem.waits[0], families=tuple(families)),),
    )
    orders = near_each_other(problem)
    assert all(sorted(order.tolist()) == list(range(16)) for order in orders)
    if free == "some":
        assert all(len(set(site[order[:8]])) == 1 for order in orders[:1])
    solution = solve_placement(problem, seeds=[np.arange(16)])
    assert solution.stopped == "proven"
    assert solution.objective_s == pytest.approx(solution.bound_s)


@pytest.mark.parametrize("seed", range(instances(30, 60)))
def test_an_allowed_order_is_found_where_there_is_one(seed: int) -> None:
    problem = random_problem(np.random.default_rng(9000 + seed), 6, device_types=3)
    order = allowed_order(problem)
    if order is None:
        assert least_s(problem) == float("inf")
    else:
        assert sorted(order.tolist()) == list(range(len(problem.node_class)))
        assert np.isfinite(problem.objective_s(order[: problem.positions]))
