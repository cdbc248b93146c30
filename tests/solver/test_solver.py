"""The solver module: both engines against enumeration, and engines that fail or lie."""

from __future__ import annotations

import itertools
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pulp import LpMaximize, LpMinimize, LpProblem, lpSum

from planner.solver import Claim, EngineError, Limits, MissingEngineError, solve
from planner.solver.cbc import Cbc
from planner.solver.highs import Highs

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.solver import Engine
    from planner.solver.program import SolverProgram

ENGINES = (Highs(), Cbc())


def knapsacks(
    seed: int, *, variables: int, rows: int, sense: int = LpMinimize
) -> tuple[LpProblem, Floats, Floats, Floats]:
    """A covering or packing program over variables of 0 to 3, its objective, matrix and sides."""
    random = np.random.default_rng(seed)
    weights = random.integers(10, 60, (rows, variables)).astype(float)
    values = random.integers(5, 40, variables).astype(float)
    sides = np.round(weights.sum(axis=1) * 1.03)
    problem = LpProblem("knapsacks", sense)
    x = [problem.add_variable(f"x{i}", 0, 3, "Integer") for i in range(variables)]
    problem += lpSum(float(value) * one for value, one in zip(values, x, strict=True)) + 7
    for row, side in zip(weights, sides, strict=True):
        total = lpSum(float(weight) * one for weight, one in zip(row, x, strict=True))
        problem += total <= float(side) if sense == LpMaximize else total >= float(side)
    return problem, values, weights, sides


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
@pytest.mark.parametrize("sense", [LpMinimize, LpMaximize])
@pytest.mark.parametrize("seed", range(5))
def test_optimum_is_the_enumerated_one(engine: Engine, sense: int, seed: int) -> None:
    problem, values, weights, sides = knapsacks(seed, variables=6, rows=3, sense=sense)
    answer = solve(problem, engines=[engine])

    points = np.array(list(itertools.product(range(4), repeat=6)), dtype=float)
    sums = points @ weights.T
    fits = (sums <= sides if sense == LpMaximize else sums >= sides).all(axis=1)
    totals = points[fits] @ values + 7
    best = totals.max() if sense == LpMaximize else totals.min()
    assert answer.objective == pytest.approx(best)
    assert answer.bound == pytest.approx(best)
    assert answer.status == "optimal"
    assert answer.proven
    assert answer.engine is not None
    assert answer.engine.startswith(f"{engine.name} ")
    chosen = np.array([answer.values[f"x{i}"] for i in range(6)])
    assert (chosen == np.round(chosen)).all()
    assert chosen @ values + 7 == pytest.approx(best)
    assert [variable.varValue for variable in problem.variables()] == chosen.tolist()


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_linear_program_with_a_free_variable(engine: Engine) -> None:
    problem = LpProblem("linear", LpMaximize)
    x, y = problem.add_variable("x"), problem.add_variable("y", None, 4)
    problem += 3 * x + 2 * y
    problem += x + y == 2.5
    problem += x - y >= -6
    problem += x <= 1.5
    answer = solve(problem, engines=[engine])
    assert answer.status == "optimal"
    assert answer.values == pytest.approx({"x": 1.5, "y": 1.0})
    assert answer.objective == answer.bound == pytest.approx(6.5)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_infeasible_and_unbounded(engine: Engine) -> None:
    problem = LpProblem("none", LpMinimize)
    x = problem.add_variable("x", 0, 10, "Integer")
    problem += x
    problem += 2 * x == 7
    answer = solve(problem, engines=[engine])
    assert (answer.status, answer.objective, answer.values) == ("infeasible", None, {})

    problem = LpProblem("endless", LpMaximize)
    y = problem.add_variable("y", 0)
    problem += y
    problem += y >= 1
    assert solve(problem, engines=[engine]).status == "unbounded"


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_node_limit_ends_the_search_the_same_way_every_time(engine: Engine) -> None:
    def limited() -> tuple[object, ...]:
        problem, *_ = knapsacks(3, variables=60, rows=40)
        answer = solve(problem, Limits(nodes=1, seed=5), engines=[engine])
        assert answer.status == "feasible"
        assert not answer.proven
        assert answer.stopped_by == "work"
        assert answer.repeatable
        assert answer.gap is not None
        assert 0 < answer.gap < 0.2
        return answer.objective, answer.bound, answer.nodes, dict(answer.values)

    assert limited() == limited()


def test_rounds_end_work_at_the_root() -> None:
    problem, *_ = knapsacks(3, variables=60, rows=40)
    answer = solve(problem, Limits(rounds=3), engines=[Highs()])
    assert answer.stopped_by == "work"
    assert answer.status in ("feasible", "unknown")
    assert answer.nodes == 0


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_an_answer_the_clock_cut_short_says_so(engine: Engine) -> None:
    problem, *_ = knapsacks(4, variables=120, rows=80)
    answer = solve(problem, Limits(seconds=0.3, nodes=10**9), engines=[engine])
    assert answer.stopped_by == "time"
    assert not answer.repeatable
    assert not answer.proven
    if answer.objective is not None and answer.bound is not None:
        assert answer.bound < answer.objective


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_wide_gap_is_optimal_within_it(engine: Engine) -> None:
    problem, *_ = knapsacks(3, variables=60, rows=40)
    answer = solve(problem, Limits(relative_gap=0.5), engines=[engine])
    assert answer.status == "optimal"
    assert answer.gap is not None
    assert answer.gap <= 0.5


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_known_assignment_is_never_made_worse(engine: Engine) -> None:
    problem, values, *_ = knapsacks(4, variables=120, rows=80)
    known = {f"x{i}": 3.0 for i in range(120)}
    answer = solve(problem, Limits(rounds=1, nodes=1), known=known, engines=[engine])
    assert answer.objective is not None
    assert answer.objective <= 3 * values.sum() + 7
    assert answer.values


def test_known_assignment_must_be_one() -> None:
    problem, *_ = knapsacks(0, variables=6, rows=3)
    with pytest.raises(ValueError, match="row _C1 does not hold"):
        solve(problem, known={})
    with pytest.raises(ValueError, match="x0 is outside its bounds or not whole"):
        solve(problem, known={f"x{i}": 2.5 for i in range(6)})


def test_variables_of_one_name_are_refused() -> None:
    problem = LpProblem("twice", LpMinimize)
    problem += problem.add_variable("x", 0) + problem.add_variable("x", 1)
    with pytest.raises(ValueError, match="share a name"):
        solve(problem)


class Scripted:
    """An engine that says what it is told to say."""

    name = "scripted"

    def __init__(self, said: Claim | Exception) -> None:
        self._said = said

    def version(self) -> str:
        return "0"

    def run(self, program: SolverProgram, limits: Limits, start: Floats | None) -> Claim:
        if isinstance(self._said, Exception):
            raise self._said
        return self._said


def claim(values: list[float], objective: float, bound: float | None = None) -> Claim:
    return Claim(status="optimal", values=np.array(values), objective=objective, bound=bound)


ALL_ONE = {f"x{i}": 2.0 for i in range(6)}
"""Feasible for the programs of `knapsacks(0, 6 variables, 3 rows)`, whose optimum is below it."""


@pytest.mark.parametrize(
    ("said", "incident"),
    [
        (MissingEngineError("not here"), "scripted is missing: not here"),
        (EngineError("died: exit status 139"), "scripted failed: died: exit status 139"),
        (claim([0.0] * 6, 7.0, 7.0), "lied: row _C1 does not hold"),
        (claim([9.0] * 6, 7.0, 7.0), "lied: variable x0 is outside its bounds or not whole"),
        (claim([2.5] * 6, 7.0, 7.0), "lied: variable x0 is outside its bounds or not whole"),
        (claim([float("nan")] * 6, 7.0), "lied: the assignment has missing or infinite values"),
        (claim([2.0] * 5, 7.0, 7.0), "lied: the assignment has missing or infinite values"),
        (claim([3.0] * 6, 7.0, 7.0), "was reported as 7.0"),
        (Claim(status="infeasible"), "an assignment is known"),
        (Claim(status="optimal"), "gives no assignment"),
        (Claim(status="unknown", bound=1e6), "lied: its bound is 1e+06"),
    ],
)
def test_engine_that_fails_or_lies_is_passed_over(said: Claim | Exception, incident: str) -> None:
    problem, *_ = knapsacks(0, variables=6, rows=3)
    honest = solve(problem)
    answer = solve(problem, known=ALL_ONE, engines=[Scripted(said), Highs()])
    assert answer.status == "optimal"
    assert answer.objective == pytest.approx(honest.objective)
    assert incident in answer.incidents[0]

    alone = solve(problem, known=ALL_ONE, engines=[Scripted(said)])
    assert alone.status == "failed"
    assert alone.engine is None
    assert alone.values == pytest.approx(ALL_ONE)
    assert not alone.proven
    assert solve(problem, engines=[Scripted(EngineError("died"))]).values == {}


def test_optimal_without_a_bound_that_proves_it_is_only_feasible() -> None:
    problem, values, *_ = knapsacks(0, variables=6, rows=3)
    objective = 3.0 * values.sum() + 7
    for bound in (None, objective / 2):
        answer = solve(problem, engines=[Scripted(claim([3.0] * 6, objective, bound))])
        assert answer.status == "feasible"
        assert answer.objective == pytest.approx(objective)


def test_known_assignment_better_than_the_answer_is_kept() -> None:
    problem, values, *_ = knapsacks(0, variables=6, rows=3)
    worse = Claim(
        status="feasible",
        values=np.full(6, 3.0),
        objective=3.0 * values.sum() + 7,
        stopped_by="work",
    )
    answer = solve(problem, known=ALL_ONE, engines=[Scripted(worse)])
    assert answer.status == "feasible"
    assert answer.objective == pytest.approx(2.0 * values.sum() + 7)


@pytest.mark.parametrize(
    ("body", "incident"),
    [
        ("sys.exit(3)", "cbc failed: died: exit status 3"),
        ("os.kill(os.getpid(), 9)", "cbc failed: died: exit status -9"),
        ("pass", "cbc failed: died: it left no solution file"),
        ("time.sleep(60)", "cbc failed: hung: no answer after"),
        ("write('')", "cbc failed: died: its solution file says ''"),
        ("write('Optimal - objective value 7\\n0 X0000000 1 0\\n')", "cbc failed: lied: row"),
    ],
)
def test_process_that_dies_hangs_or_lies(tmp_path: Path, body: str, incident: str) -> None:
    binary = tmp_path / "cbc"
    binary.write_text(
        f"#!{sys.executable}\nimport os, sys, time\n"
        "def write(text): open(sys.argv[sys.argv.index('-solution') + 1], 'w').write(text)\n"
        f"{body}\n"
    )
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    problem, *_ = knapsacks(0, variables=6, rows=3)
    answer = solve(problem, Limits(seconds=0.5, grace_s=0.3), engines=[Cbc(str(binary)), Highs()])
    assert answer.incidents[0].startswith(incident)
    assert answer.status == "optimal"


def test_missing_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, *_ = knapsacks(0, variables=6, rows=3)
    monkeypatch.setitem(sys.modules, "highspy", None)
    answer = solve(problem, engines=ENGINES)
    assert answer.status == "optimal"
    assert answer.engine is not None
    assert answer.engine.startswith("cbc ")
    assert answer.incidents == ("highs is missing: the package highspy is not installed",)

    answer = solve(problem, engines=[Highs(), Cbc("/nowhere/cbc")])
    assert answer.status == "failed"
    assert answer.incidents[1] == (
        "cbc is missing: /nowhere/cbc cannot be run: No such file or directory"
    )


def test_solver_that_does_not_come_back_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    from highspy import Highs as Solver

    monkeypatch.setattr(Solver, "run", lambda self: time.sleep(1.5))
    problem, *_ = knapsacks(0, variables=6, rows=3)
    answer = solve(problem, Limits(seconds=0.2, grace_s=0.1), engines=ENGINES)
    assert answer.incidents == ("highs failed: hung: no answer after 0.3 s",)
    assert answer.status == "optimal"


def test_threads_may_change_between_solves() -> None:
    objectives = set()
    for threads in (1, 2, 1):
        problem, *_ = knapsacks(1, variables=12, rows=5)
        objectives.add(solve(problem, Limits(threads=threads), engines=[Highs()]).objective)
    assert len(objectives) == 1
