"""Both exact solvers against every layout, and against each other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from planner.schedule.bounds.closed_form import span_lower_bound
from planner.solver.cbc import Cbc
from planner.solver.highs import Highs
from planner.stage_layout.problem import Layouts, Pattern, fits, price, spans_s
from planner.stage_layout.stage_bounds import rows_s
from planner.stage_layout.threshold import best_layout
from tests.every_instance import instances
from tests.stage_layout.checker.paths import solve_layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.solver import Engine
    from planner.stage_layout.problem import LayoutProblem

INSTANCES = 200


def test_threshold_program_is_the_best_of_every_layout(
    random_problem: Callable[..., LayoutProblem],
    every_layout: Callable[[LayoutProblem], Layouts | None],
) -> None:
    compared = nothing = 0
    for seed in range(2 * INSTANCES):
        problem = random_problem(seed)
        found, layouts = best_layout(problem), every_layout(problem)
        if layouts is None:
            assert found is None
            continue
        prices = price(problem, layouts)
        fitting = fits(problem, prices)
        if not fitting.any():
            nothing += 1
            assert found is None
            continue
        compared += 1
        assert found is not None
        assert found.rows_s == pytest.approx(rows_s(problem, prices).max(axis=-1)[fitting].min())
        chosen = price(problem, found.layout)
        assert fits(problem, chosen).all()
        assert rows_s(problem, chosen).max() == pytest.approx(found.rows_s)
    assert compared >= INSTANCES
    assert nothing > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schedule", "virtual_stages", "layers", "seeds"),
    [
        ("1f1b", 1, 12, range(instances(60, 200))),
        ("gpipe", 1, 12, range(200, 220)),
        ("zb-h1", 1, 9, range(20)),
        ("interleaved", 2, 7, range(4)),
    ],
)
def test_integer_program_is_the_best_simulation_of_every_layout(
    random_problem: Callable[..., LayoutProblem],
    every_layout: Callable[[LayoutProblem], Layouts | None],
    schedule: str,
    virtual_stages: int,
    layers: int,
    seeds: range,
) -> None:
    compared = 0
    for seed in seeds:
        problem = random_problem(
            seed, schedule, virtual_stages=virtual_stages, layers=layers, kinds=2, stages=3
        )
        layouts = every_layout(problem)
        if layouts is None:
            continue
        prices = price(problem, layouts)
        fitting = fits(problem, prices)
        solved = solve_layout(problem)
        if not fitting.any():
            assert solved.layout is None
            continue
        compared += 1
        best_s = spans_s(problem, prices)[fitting].min()
        assert solved.layout is not None
        assert solved.proven
        assert solved.span_s == pytest.approx(best_s, rel=3e-6)
        assert fits(problem, price(problem, solved.layout)).all()
    assert compared > len(seeds) / 3


@pytest.mark.parametrize("engine", [Highs(), Cbc()], ids=lambda engine: engine.name)
def test_engines_agree_and_the_start_is_never_made_worse(
    random_problem: Callable[..., LayoutProblem], engine: Engine
) -> None:
    for seed in (3, 8, 11):
        problem = random_problem(seed, layers=9, kinds=1, stages=3)
        found = best_layout(problem)
        if found is None:
            continue
        start_s = float(spans_s(problem, price(problem, found.layout))[0])
        solved = solve_layout(problem, found.layout, engines=[engine])
        assert solved.proven
        assert solved.span_s <= start_s
        assert solved.answer.engine is not None
        assert solved.answer.engine.startswith(engine.name)
        assert solved.bound_s >= found.rows_s * (1 - 1e-5)


def test_rows_are_below_the_simulation(
    random_problem: Callable[..., LayoutProblem],
    every_layout: Callable[[LayoutProblem], Layouts | None],
) -> None:
    for seed in range(60):
        for schedule, chunks in (("1f1b", 1), ("gpipe", 1), ("zb-h1", 1), ("interleaved", 2)):
            problem = random_problem(seed, schedule, virtual_stages=chunks, layers=8)
            layouts = every_layout(problem)
            if layouts is None:
                continue
            if schedule == "zb-h1":
                problem = replace(problem, sends="asynchronous")
            prices = price(problem, layouts)
            assert (
                rows_s(problem, prices).max(axis=-1) <= spans_s(problem, prices) * 1.000001
            ).all()


def test_own_rows_are_the_closed_form(random_problem: Callable[..., LayoutProblem]) -> None:
    """Without links that are slower than stages, and where the first stage reduces longest."""
    for seed in range(30):
        problem = random_problem(seed, links=0.05)
        problem = replace(
            problem,
            reduction_s=np.zeros_like(problem.reduction_s),
            in_flight=problem.in_flight * 0 + problem.num_microbatches,
        )
        found = best_layout(replace(problem, capacity_bytes=problem.capacity_bytes * 1e6))
        if found is None:
            continue
        prices = price(problem, found.layout)
        bound = span_lower_bound(
            prices.forward_s[0],
            prices.backward_s[0],
            problem.forward_send_s,
            problem.backward_send_s,
            num_microbatches=problem.num_microbatches,
            sends=problem.sends,
        )
        assert rows_s(problem, prices).max() >= float(bound) * (1 - 1e-9)


def test_no_stage_recomputes_more_than_it_must(
    random_problem: Callable[..., LayoutProblem],
) -> None:
    problem = replace(random_problem(5), patterns=(Pattern(0, 0), Pattern(1, 1)), one_pattern=False)
    roomy = replace(problem, capacity_bytes=problem.capacity_bytes * 100)
    found = best_layout(roomy)
    assert found is not None
    assert (found.layout.patterns == 0).all()


def test_several_chunks_need_the_integer_program(
    random_problem: Callable[..., LayoutProblem],
) -> None:
    with pytest.raises(ValueError, match="one chunk per stage"):
        best_layout(random_problem(0, "interleaved", virtual_stages=2))
