"""A run of programs: engines that die or hang are asked once, and the record says so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from pulp import LpMinimize, LpProblem

from planner.budget import Budget, OutOfTime
from planner.solver import (
    Claim,
    EngineError,
    EngineRecord,
    Limits,
    MissingEngineError,
    Solver,
    SolverRecord,
    UnusableEngineError,
)
from planner.solver.cbc import Cbc
from planner.solver.highs import Highs

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.solver import Engine
    from planner.solver.program import SolverProgram


def program() -> LpProblem:
    problem = LpProblem("small", LpMinimize)
    x = problem.add_variable("x", 0, 9, "Integer")
    problem += x
    problem += 2 * x >= 3
    return problem


class Failing:
    """Fails in a way of its own whenever it is asked."""

    name = "failing"

    def __init__(self, error: Exception) -> None:
        self.error, self.asked = error, 0

    def version(self) -> str:
        return "0"

    def run(self, program: SolverProgram, limits: Limits, start: Floats | None) -> Claim:
        self.asked += 1
        raise self.error


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (UnusableEngineError("hung: no answer after 65 s"), "hung: no answer after 65 s"),
        (MissingEngineError("not installed"), "missing: not installed"),
        (RuntimeError("segment"), "died: RuntimeError: segment"),
        (MemoryError(), "died: MemoryError: "),
    ],
)
def test_what_dies_or_hangs_is_asked_once(error: Exception, why: str) -> None:
    failing = Failing(error)
    solver = Solver([failing, Highs()])
    assert [solver.solve(program()).objective for _ in range(3)] == [2, 2, 2]
    assert failing.asked == 1
    lost, highs = solver.record.engines
    assert lost == EngineRecord(name="failing", version=None, answered=0, passed_over=why)
    assert (highs.name, highs.answered, highs.passed_over) == ("highs", 3, None)
    assert (solver.record.programs, solver.record.unanswered) == (3, 0)


def test_what_fails_at_one_program_is_asked_again() -> None:
    failing = Failing(EngineError("lied: row _C1 does not hold"))
    solver = Solver([failing, Cbc()])
    answers = [solver.solve(program()) for _ in range(3)]
    assert failing.asked == 3
    assert all(answer.objective == 2 for answer in answers)
    assert all("lied" in answer.incidents[0] for answer in answers)
    assert [one.name for one in solver.record.engines] == ["cbc"]


def test_a_run_knows_nothing_of_another() -> None:
    failing = Failing(UnusableEngineError("hung"))
    for _ in range(2):
        Solver([failing, Highs()]).solve(program())
    assert failing.asked == 2
    assert Solver().record == SolverRecord()


def test_nobody_answers() -> None:
    solver = Solver([Failing(UnusableEngineError("died")), Cbc("/nowhere/cbc")])
    answers = [solver.solve(program()), solver.solve(program(), known={"x": 4.0})]
    assert [answer.status for answer in answers] == ["failed", "failed"]
    assert [answer.objective for answer in answers] == [None, 4]
    record = solver.record
    assert (record.programs, record.unanswered) == (2, 2)
    assert [bool(one.passed_over) for one in record.engines] == [True, True]


def test_a_deadline_is_no_fault_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    from highspy import Highs as HighsSolver

    monkeypatch.setattr(HighsSolver, "run", lambda self: time.sleep(2.0))
    solver = Solver([Highs()])
    start_s = time.monotonic()
    with pytest.raises(OutOfTime):
        solver.solve(program(), budget=Budget.lasting(0.2))
    assert time.monotonic() - start_s < 1.9
    assert solver.record.engines == ()


@pytest.mark.parametrize("engine", [Highs(), Cbc()], ids=lambda engine: engine.name)
def test_no_engine_is_asked_after_the_deadline(engine: Engine) -> None:
    solver = Solver([engine])
    with pytest.raises(OutOfTime):
        solver.solve(program(), budget=Budget(deadline_s=0.0))
    assert solver.record.programs == 0
    assert solver.solve(program(), budget=Budget.lasting(60.0)).objective == 2
