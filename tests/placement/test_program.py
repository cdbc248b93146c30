"""The integer program against all placements, and the exact search against the program."""

from __future__ import annotations

import numpy as np
import pytest

from planner.placement.exact.solve import solve_exactly
from planner.placement.problem.feasible import allowed_order
from planner.placement.problem.terms import terms_of
from tests.every_instance import instances
from tests.placement.exact_program import PlacementProgram
from tests.placement.problems import least_s, random_problem


@pytest.mark.parametrize("seed", range(instances(20, 40)))
def test_the_program_finds_the_best_of_all_placements(seed: int) -> None:
    rng = np.random.default_rng(3000 + seed)
    problem = random_problem(rng, 6, device_types=1 + seed % 2)
    order = allowed_order(problem)
    least = least_s(problem)
    assert (order is None) == (least == float("inf"))
    if order is None:
        return
    terms = terms_of(problem)
    program = PlacementProgram(terms, order)
    answer = program.solve()
    assert answer.proven
    assert answer.engine is not None
    assert answer.objective is not None
    assert answer.objective * program.unit_s == pytest.approx(least, rel=1e-5)
    assert problem.objective_s(program.order_of(answer)) == pytest.approx(least, rel=1e-5)
    assert solve_exactly(terms, order).objective_s == pytest.approx(least, rel=1e-8)
