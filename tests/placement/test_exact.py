"""The exact search against all placements, and against itself by another order of positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from planner.budget import UNLIMITED, Budget
from planner.importers.clusters.formats.csv_matrix import read_matrix
from planner.importers.source import load_source
from planner.placement.exact.solve import floors_of, solve_exactly
from planner.placement.exact.sweep import Sweep
from planner.placement.problem.terms import terms_of
from planner.placement.solve import solve_placement
from tests.every_instance import instances
from tests.placement.problems import least_s, problem_of, random_problem

MATRIX = Path(__file__).parent / "data" / "mpigraph-a100-16.csv"
"""16 nodes of an A100 cluster with HDR InfiniBand, MB/s, rows send: mpiGraph's table published
with Yim et al. 2024 (Pipette)."""


def measured() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    matrix = read_matrix(load_source(str(MATRIX)), None).matrix
    assert matrix is not None
    bandwidth = np.array(matrix.rows, dtype=np.float64) * 1e6
    np.fill_diagonal(bandwidth, np.nanmax(bandwidth))
    return bandwidth


@pytest.mark.parametrize("seed", range(instances(10, 20)))
def test_finds_and_proves_the_best_of_all_placements(seed: int) -> None:
    rng = np.random.default_rng(1000 + seed)
    for _ in range(10):
        problem = random_problem(rng, 8)
        proof = solve_exactly(terms_of(problem), np.arange(problem.positions))
        assert proof.objective_s == pytest.approx(least_s(problem), rel=1e-8)
        assert proof.objective_s == problem.objective_s(proof.order)
        assert proof.complete


@pytest.mark.parametrize("seed", range(instances(10, 20)))
def test_finds_the_best_where_rows_take_some_device_types_only(seed: int) -> None:
    rng = np.random.default_rng(2000 + seed)
    compared = 0
    while compared < 10:
        problem = random_problem(rng, 6, device_types=2)
        least = least_s(problem)
        if not np.isfinite(least):
            continue
        proof = solve_exactly(terms_of(problem), np.arange(problem.positions))
        assert proof.objective_s == pytest.approx(least, rel=1e-8)
        assert proof.complete
        compared += 1


@pytest.mark.parametrize("share", [1.0, 0.05])
@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (2, 4), (4, 2)])
def test_rows_first_and_columns_first_agree(rows: int, columns: int, share: float) -> None:
    rng = np.random.default_rng(rows * columns)
    bandwidth = 25e9 * np.exp(-np.abs(rng.normal(0, 0.3, (10, 10))))
    terms = terms_of(problem_of(bandwidth, rows, columns, gradient_share=share))
    found = [
        Sweep(terms, floors, float("inf"), UNLIMITED.meter(3_000_000)).run()
        for floors in floors_of(terms)
    ]
    assert found[0].objective_s == pytest.approx(found[1].objective_s, rel=1e-9)
    assert all(sweep.left_s == float("inf") for sweep in found)


@pytest.mark.parametrize(
    ("rows", "columns"), [(2, 8), (4, 4), (8, 2), (16, 1), (1, 16), (3, 5), (4, 3), (2, 6)]
)
def test_sixteen_measured_nodes_are_proven(rows: int, columns: int) -> None:
    problem = problem_of(measured(), rows, columns)
    default = np.arange(rows * columns)
    solution = solve_placement(problem, seeds=[default])
    assert solution.stopped == "proven"
    assert solution.objective_s <= problem.objective_s(default)


def test_stops_at_its_work_with_a_bound_that_holds() -> None:
    rng = np.random.default_rng(5)
    bandwidth = 25e9 * np.exp(-np.abs(rng.normal(0, 0.3, (10, 10))))
    terms = terms_of(problem_of(bandwidth, 5, 2, gradient_share=0.05))
    best = solve_exactly(terms, np.arange(10))
    cut = solve_exactly(terms, np.arange(10), budget=Budget(work=1e-5))
    assert best.complete
    assert not cut.complete
    assert cut.bound_s <= best.objective_s * (1 + 1e-9)
    assert cut.objective_s >= best.objective_s * (1 - 1e-9)


def test_slow_nodes_are_left_out_where_there_are_spare_ones() -> None:
    bandwidth = np.full((12, 12), 25e9)
    for slow in (0, 5):
        bandwidth[slow] = bandwidth[:, slow] = 10e9
    problem = problem_of(bandwidth, 5, 2)
    proof = solve_exactly(terms_of(problem), np.arange(10))
    assert set(proof.order.tolist()) == set(range(12)) - {0, 5}
    assert proof.complete
