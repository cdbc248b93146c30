"""Placement by classes against brute force, and its parts one by one."""

from __future__ import annotations

import numpy as np
import pytest

from planner.budget import Budget
from planner.placement.classes.best_grid import nodes_of
from planner.placement.classes.decode import column_order, decode
from planner.placement.classes.fabric import coarser, common_level, fabric_of
from planner.placement.classes.faults import Allowance
from planner.placement.classes.program import ClassProgram
from planner.placement.classes.repair import Repair
from planner.placement.classes.search import ClassSearch, solve_classes
from planner.placement.classes.thresholds import Thresholds
from planner.placement.problem.problem import PlacementProblem, RingFamily, Wait
from tests.every_instance import instances
from tests.placement.problems import least_s, random_problem

LEAF, POD, SPINE = 25e9, 18e9, 9e9


def leaf_spine(
    nodes: int, rows: int, *, leaf: int, pod: int, slow: tuple[int, ...] = (), spare: int = 0
) -> PlacementProblem:
    """Switches of `leaf` nodes in pods of `pod`; slow nodes reach 0.4 of every link. Traffic of 64
    microbatches of 8.4 MB and 43.75 GB of gradients, as tests/placement/problems.py has
    it."""
    index = np.arange(nodes)
    factor = np.where(np.isin(index, slow), 0.4, 1.0)
    keys = np.stack([index // leaf, np.isin(index, slow)])
    _, first, node_class = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    i, j = first[:, None], first[None]
    tier = np.where(i // leaf == j // leaf, LEAF, np.where(i // pod == j // pod, POD, SPINE))
    bandwidth = tier * np.minimum(factor[i], factor[j])
    columns = (nodes - spare) // rows
    windows = [(a, b) for a in range(rows) for b in range(a + 1, rows)]
    path_links = np.zeros((max(1, len(windows)), rows - 1))
    for path, (a, b) in enumerate(windows):
        path_links[path, a:b] = 64 / (b - a + 1)
    family = RingFamily(
        rings=(tuple(range(columns)),),
        hop_s=1 / bandwidth,
        scale=np.full(rows, 2 * (columns - 1) / columns * 43.75e9 / rows),
    )
    return PlacementProblem(
        rows=rows,
        columns=columns,
        lockstep=1,
        node_class=node_class.ravel(),
        link_s=8.4e6 / bandwidth + 8.4e6 / bandwidth.T,
        path_s=np.zeros(len(path_links)),
        path_links=path_links,
        waits=(Wait(families=(family,), hidden_s=0.040 * np.arange(rows, dtype=float)),),
        row_class_allowed=np.ones((rows, len(bandwidth)), dtype=bool),
    )


def allowed_incumbent(problem: PlacementProblem, rng: np.random.Generator) -> np.ndarray | None:
    for _ in range(50):
        order = rng.permutation(len(problem.node_class))[: problem.positions]
        if np.isfinite(problem.objective_s(order)):
            return order
    return None


def check_against_all(problem: PlacementProblem, rng: np.random.Generator) -> bool:
    """Whether there was anything to check."""
    incumbent = allowed_incumbent(problem, rng)
    if incumbent is None:
        return False
    least = least_s(problem)
    answer = solve_classes(problem, incumbent, budget=Budget(work=0.03))
    assert answer.bound_s <= least * (1 + 1e-9)
    if answer.order is not None:
        assert len(set(answer.order)) == problem.positions
        found = problem.objective_s(np.array(answer.order))
        assert least * (1 - 1e-9) <= found < problem.objective_s(incumbent)
        if answer.stopped == "proven":
            assert found <= least * (1 + 1e-5)
    elif answer.stopped == "proven":
        assert problem.objective_s(incumbent) <= least * (1 + 1e-5)
    return True


@pytest.mark.parametrize("seed", range(10))
def test_no_placement_of_any_problem_is_below_the_bound(seed: int) -> None:
    checked = 0
    for number in range(10):
        rng = np.random.default_rng([seed, number])
        problem = random_problem(rng, int(rng.integers(3, 8)), device_types=1 + number % 2)
        checked += check_against_all(problem, rng)
    assert checked >= 5


@pytest.mark.parametrize("seed", range(10))
def test_no_placement_on_switches_is_below_the_bound(seed: int) -> None:
    for number in range(10):
        rng = np.random.default_rng([seed, number])
        nodes = int(rng.choice([4, 6, 8]))
        slow = tuple(rng.choice(nodes, int(rng.integers(0, 3)), replace=False).tolist())
        spare = 2 * int(rng.integers(0, 2)) if nodes > 4 else 0
        leaf = int(rng.integers(1, 4))
        rows = int(rng.choice([r for r in (1, 2, 4) if (nodes - spare) % r == 0]))
        problem = leaf_spine(
            nodes, rows, leaf=leaf, pod=leaf * int(rng.integers(1, 3)), slow=slow, spare=spare
        )
        assert check_against_all(problem, rng)


def test_the_default_order_of_a_clean_cluster_is_proven() -> None:
    problem = leaf_spine(64, 8, leaf=8, pod=32)
    answer = solve_classes(problem, range(64))
    assert answer.order is None
    assert answer.stopped == "proven"
    assert answer.bound_s == pytest.approx(0.4425458, rel=1e-5)


@pytest.mark.slow
def test_rows_of_one_pod_share_its_switches() -> None:
    """16 nodes a row, 32 a pod: two neighbouring rows that share the switches of a pod send within
    them, which the default order does not do."""
    problem = leaf_spine(128, 8, leaf=8, pod=32)
    answer = solve_classes(problem, range(128))
    assert answer.order is not None
    found = problem.objective_s(np.array(answer.order))
    assert problem.objective_s(np.arange(128)) == pytest.approx(0.649306, rel=1e-5)
    assert found == pytest.approx(0.643731, rel=1e-5)
    assert answer.bound_s >= found * (1 - 1e-4)


def test_slow_nodes_go_where_their_rings_are_hidden() -> None:
    problem = leaf_spine(32, 4, leaf=8, pod=32, slow=(3, 20))
    default = problem.objective_s(np.arange(32))
    answer = solve_classes(problem, range(32))
    assert answer.order is not None
    assert answer.stopped == "proven"
    found = problem.objective_s(np.array(answer.order))
    assert found < 0.97 * default
    grid = np.array(answer.order).reshape(4, 8)
    assert not {3, 20} & set(grid[0].tolist())


def test_slow_spare_nodes_are_left_out_by_proof() -> None:
    problem = leaf_spine(18, 4, leaf=9, pod=18, slow=(0, 9), spare=2)
    answer = solve_classes(problem, range(16))
    assert answer.order is not None
    assert answer.stopped == "proven"
    assert not {0, 9} & set(answer.order)


def test_the_same_input_gives_the_same_answer() -> None:
    problem = leaf_spine(16, 4, leaf=4, pod=8, slow=(1, 6))
    answers = [solve_classes(problem, range(16), budget=Budget(work=0.03)) for _ in range(2)]
    assert answers[0] == answers[1]


def test_a_clock_that_ends_after_the_first_bound_leaves_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = leaf_spine(32, 4, leaf=8, pod=16, slow=(1, 2, 30))
    now_s = [0.0]
    bound_all = ClassSearch._bound_all

    def then_late(search: ClassSearch) -> None:
        bound_all(search)
        now_s[0] = 2.0

    monkeypatch.setattr(ClassSearch, "_bound_all", then_late)
    budget = Budget(deadline_s=1.0, clock=lambda: now_s[0])
    answer = solve_classes(problem, range(32), budget=budget)
    assert answer.stopped == "time limit"
    assert answer.order is None
    assert 0.9 * 2 * 64 * 8.4e6 / LEAF / 2 < answer.bound_s < problem.objective_s(np.arange(32))


def test_switches_and_slow_cards_are_read_off_the_costs() -> None:
    problem = leaf_spine(64, 8, leaf=8, pod=32, slow=(3, 12, 13, 40))
    fabric = fabric_of(problem)
    assert fabric.levels == 2
    node = np.arange(64)
    cell = fabric.cell_of_class[problem.node_class]
    for level, size in enumerate((8, 32)):
        same = node[:, None] // size == node[None] // size
        block = fabric.block[level, cell]
        assert ((block[:, None] == block[None]) == same).all()
    slow = np.isin(node, (3, 12, 13, 40))
    quality = fabric.quality[cell]
    assert len(set(quality[slow])) == len(set(quality[~slow])) == 1
    assert quality[slow][0] != quality[~slow][0]
    fast = int(quality[~slow][0])
    expected = 2 * 8.4e6 / np.array([LEAF, POD, SPINE])
    assert fabric.link_s[:, fast, fast] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_costs_of_a_fabric_are_never_above_those_of_the_classes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bandwidth = 25e9 * np.exp(-np.abs(rng.normal(0, 0.3, (12, 12))))
    problem = random_problem(rng, 7)
    problem = PlacementProblem(
        rows=3,
        columns=4,
        lockstep=1,
        node_class=np.arange(12),
        link_s=1 / bandwidth,
        path_s=problem.path_s,
        path_links=np.ones((len(problem.path_s), 2)),
        waits=(),
        row_class_allowed=np.ones((3, 12), dtype=bool),
    )
    fabric = fabric_of(problem)
    for kept in (fabric, coarser(fabric), coarser(coarser(fabric))):
        cell = kept.cell_of_class
        level = common_level(kept.block[:, cell])
        quality = kept.quality[cell]
        bound = kept.link_s[level, quality[:, None], quality[None]]
        apart = ~np.eye(12, dtype=bool)
        assert (bound[apart] <= problem.link_s[apart]).all()


def test_an_assignment_of_the_program_decodes_to_nodes_of_its_cells() -> None:
    problem = leaf_spine(64, 8, leaf=8, pod=32, slow=(3, 12, 13, 40))
    fabric = fabric_of(problem)
    rng = np.random.default_rng(0)
    cells = rng.permutation(fabric.cell_of_class[problem.node_class]).reshape(8, 8)
    take = np.array([np.bincount(row, minlength=fabric.cells) for row in cells])
    grid = decode(problem, fabric, take, Allowance(waits_s=(1.0,), pipeline_s=0.1))
    taken = fabric.cell_of_class[grid]
    assert (np.array([np.bincount(row, minlength=fabric.cells) for row in taken]) == take).all()
    order = nodes_of(problem, grid)
    assert sorted(order.tolist()) == list(range(64))
    assert (problem.node_class[order].reshape(8, 8) == grid).all()


def test_columns_with_few_faults_between_them_become_neighbours() -> None:
    rng = np.random.default_rng(3)
    hidden = rng.permutation(12)
    faults = np.ones((12, 12))
    faults[hidden, np.roll(hidden, -1)] = 0
    faults = np.minimum(faults, faults.T)
    tour = column_order(faults)
    assert sorted(tour.tolist()) == list(range(12))
    assert faults[tour, np.roll(tour, -1)].sum() == 0


@pytest.mark.parametrize("seed", range(instances(15, 30)))
def test_changes_of_the_excess_are_what_the_exchange_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, 12, device_types=1 + seed % 2)
    order = rng.permutation(len(problem.node_class))[: problem.positions]
    grid = problem.node_class[order].reshape(problem.rows, problem.columns)
    allowance = Allowance(
        waits_s=tuple(float(rng.random()) for _ in problem.waits), pipeline_s=float(rng.random())
    )
    repair = Repair(problem, grid, allowance, rng)
    row, column = int(rng.integers(problem.rows)), int(rng.integers(problem.columns))
    swaps, spares = repair._changes(row, column)
    for other in np.ndindex(*grid.shape):
        swapped = grid.copy()
        swapped[row, column], swapped[other] = grid[other], grid[row, column]
        if grid[other] == grid[row, column]:
            assert swaps[other] == np.inf
        else:
            after = Repair(problem, swapped, allowance, rng).excess
            assert swaps[other] == pytest.approx(after - repair.excess, abs=1e-6)
    for spare in np.flatnonzero(np.isfinite(spares)):
        changed = grid.copy()
        changed[row, column] = spare
        after = Repair(problem, changed, allowance, rng).excess
        assert spares[spare] == pytest.approx(after - repair.excess, abs=1e-6)


def test_repair_finds_the_placement_that_waits_no_longer() -> None:
    """The proven optimum of 64 nodes, 6 % slow, from the default order."""
    slow = tuple(np.random.default_rng(0).choice(64, 4, replace=False).tolist())
    problem = leaf_spine(64, 8, leaf=8, pod=32, slow=slow)
    grid = problem.node_class.reshape(8, 8)
    allowance = Allowance(waits_s=(0.71704,), pipeline_s=0.14934)
    repair = Repair(problem, grid, allowance, np.random.default_rng(0))
    assert repair.excess > 1
    assert repair.run(3000)
    found = problem.objective_s(nodes_of(problem, repair.grid))
    assert found == pytest.approx(0.8663646, rel=1e-5)


def test_longer_waits_allow_more_and_bound_less() -> None:
    problem = leaf_spine(32, 4, leaf=8, pod=16, slow=(1, 2, 30))
    thresholds = Thresholds.of(problem, fabric_of(problem))
    for index in range(len(thresholds.waits_s) - 1):
        fewer, more = thresholds.hops((index,)), thresholds.hops((index + 1,))
        assert (fewer <= more).all()
        assert (fewer < more).any()
    thresholds.raise_below((4,), 0.2)
    assert (thresholds.pipeline_s[:5] == 0.2).all()
    assert (thresholds.pipeline_s[5:] == 0).all()
    assert thresholds.bound_s == min(
        thresholds.waits_s[0] + 0.2, float(thresholds.waits_s[5:].min())
    )


def test_pipelines_asked_for_below_what_is_possible_are_refused() -> None:
    from planner.solver import solve

    problem = leaf_spine(64, 8, leaf=8, pod=32)
    fabric = fabric_of(problem)
    thresholds = Thresholds.of(problem, fabric)
    at = (int(np.searchsorted(thresholds.waits_s, 0.3827)),)
    program = ClassProgram(problem, fabric, thresholds.hops(at))
    program.keep_below(0.0590)
    assert solve(program.rows.problem).status == "infeasible"
    program.keep_below(0.0598)
    assert solve(program.rows.problem).status == "optimal"
