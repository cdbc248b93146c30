"""Placements evaluated many at a time, and exchanges of nodes from the parts they touch."""

from __future__ import annotations

import numpy as np
import pytest

from planner.placement.local.swaps import Swaps
from planner.placement.problem.feasible import allowed_order
from planner.placement.problem.terms import terms_of
from tests.every_instance import instances
from tests.placement.problems import random_problem


@pytest.mark.parametrize("seed", range(instances(15, 30)))
def test_many_placements_cost_what_each_costs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, 14, device_types=1 + seed % 2)
    orders = np.stack(
        [rng.permutation(len(problem.node_class))[: problem.positions] for _ in range(20)]
    )
    grids = problem.node_class[orders].reshape(-1, problem.rows, problem.columns)
    together = terms_of(problem).objectives_s(grids)
    np.testing.assert_allclose(together, [problem.objective_s(order) for order in orders])


@pytest.mark.parametrize("seed", range(instances(20, 40)))
def test_an_exchange_costs_what_the_whole_placement_then_costs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    order = None
    while order is None:
        problem = random_problem(rng, 14, device_types=1 + seed % 2)
        order = allowed_order(problem)
    swaps = Swaps(terms_of(problem), order)
    for place in range(problem.positions):
        objectives, _ = swaps.neighbours(place)
        for partner in range(len(objectives)):
            order = swaps.order.copy()
            order[[place, partner]] = order[[partner, place]]
            expected = problem.objective_s(order[: problem.positions])
            assert objectives[partner] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(instances(10, 20)))
def test_nothing_gets_better_unless_a_critical_place_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, 10)
    swaps = Swaps(terms_of(problem), rng.permutation(len(problem.node_class)))
    critical = set(swaps.critical_places().tolist())
    for place in set(range(problem.positions)) - critical:
        objectives, _ = swaps.neighbours(place)
        others = [partner for partner in range(len(objectives)) if partner not in critical]
        assert objectives[others].min() >= swaps.objective_s * (1 - 1e-12)
