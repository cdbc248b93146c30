"""Solves a program with the first engine that gives a believable answer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from planner.budget import UNLIMITED
from planner.solver.answer import (
    Answer,
    Claim,
    EngineError,
    EngineRecord,
    Limits,
    MissingEngineError,
    SolverRecord,
    UnusableEngineError,
)
from planner.solver.cbc import Cbc
from planner.solver.highs import Highs
from planner.solver.program import TOLERANCE, SolverProgram

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pulp import LpProblem

    from planner.arrays import Floats
    from planner.budget import Budget
    from planner.solver.highs import KeptByHighs
    from planner.solver.linear import LinearProgram

LATE_S = 0.1
"""How much later than a deadline an engine may return."""


class Engine(Protocol):
    """A solver. `run` takes the program in minimising form and, if there is one, an assignment to
    start from. It raises EngineError where it has no answer, UnusableEngineError when it dies or
    hangs, and MissingEngineError when it is not installed."""

    name: str

    def version(self) -> str: ...

    def run(self, program: SolverProgram, limits: Limits, start: Floats | None) -> Claim: ...


def all_engines() -> tuple[Engine, ...]:
    """Every engine there is, in the order in which they are asked."""
    return Highs(), Cbc()


@dataclass(slots=True, eq=False)
class _Asked:
    """An engine and what a run has learnt about it."""

    engine: Engine
    version: str | None = None
    answered: int = 0
    passed_over: str | None = None

    def claim(
        self, program: SolverProgram, limits: Limits, start: Floats | None, budget: Budget
    ) -> Claim:
        """The engine's claim, if it can be believed. Raises: EngineError; OutOfTime when the
        deadline kept it from answering."""
        try:
            claim = _checked(program, self.engine.run(program, limits, start), limits, start)
            self.version = self.engine.version()
        except EngineError:
            budget.check()
            raise
        except Exception as error:
            raise UnusableEngineError(f"died: {type(error).__name__}: {error}") from error
        self.answered += 1
        return claim


class Optimum(NamedTuple):
    """The best entries [C] of a linear program and the prices [R] of its rows."""

    entries: Floats
    prices: Floats


@dataclass(frozen=True, slots=True, eq=False)
class KeptProgram:
    """A linear program and the engine that keeps it."""

    asked: _Asked
    program: KeptByHighs


class Solver:
    """The engines of one run. One that is missing, dies or hangs is not asked again in that run."""

    def __init__(self, engines: Sequence[Engine] | None = None) -> None:
        self._asked = [_Asked(engine) for engine in engines or all_engines()]
        self._programs = self._unanswered = 0

    @property
    def record(self) -> SolverRecord:
        """What happened to the programs so far."""
        return SolverRecord(
            programs=self._programs,
            unanswered=self._unanswered,
            engines=tuple(
                EngineRecord(
                    name=one.engine.name,
                    version=one.version,
                    answered=one.answered,
                    passed_over=one.passed_over,
                )
                for one in self._asked
                if one.answered or one.passed_over
            ),
        )

    def solve(
        self,
        problem: LpProblem,
        limits: Limits | None = None,
        *,
        known: Mapping[str, float] | None = None,
        budget: Budget = UNLIMITED,
    ) -> Answer:
        """Solve a PuLP program; its variables have their values afterwards.

        `known` is an assignment by variable name that the caller already has (variables it leaves
        out are 0). Engines start from it, and the answer is never worse than it. It also exposes an
        engine that claims there is no assignment, or whose bound excludes this one. Where an engine
        has no answer the next one is asked, and the answer records that in `incidents`. When no
        engine has one, the status is "failed" and `known`, if given, is the assignment.

        Raises: ValueError when two variables share a name or `known` is not an assignment of the
        program; OutOfTime where the deadline of `budget` leaves no time for an answer.
        """
        limits = _within(limits or Limits(), budget)
        program = SolverProgram.of(problem)
        start = None if known is None else program.assignment(known)
        if start is not None:
            wrong = program.violation(start)
            if wrong is not None:
                raise ValueError(f"the known assignment is not one of this program: {wrong}")
            start = program.rounded(start)
        answer = self._answer(program, limits, start, budget)
        for variable in problem.variables():
            variable.varValue = answer.values.get(variable.name)
        return answer

    def solve_linear(self, program: LinearProgram) -> Answer:
        """Solve a linear program that was stated as arrays. Where an engine has no answer the next
        one is asked; when no engine has one, the status is "failed"."""
        return self._answer(program.compiled(), Limits(), None, UNLIMITED)

    def kept(self, program: LinearProgram) -> KeptProgram | None:
        """The program, kept by the engine that is asked first; None where it cannot."""
        asked = next((one for one in self._asked if one.passed_over is None), None)
        if asked is None or not isinstance(asked.engine, Highs):
            return None
        with suppress(EngineError):
            return KeptProgram(asked, asked.engine.keep(program, Limits()))
        return None

    def solve_kept(self, kept: KeptProgram, program: LinearProgram) -> Optimum | None:
        """Solve a program that is kept with all of its rows; None without a believable answer."""
        self._programs += 1
        with suppress(EngineError):
            entries, prices = kept.program.solve()
            if program.holds(entries) and len(prices) == len(program.rows):
                kept.asked.version = kept.asked.engine.version()
                kept.asked.answered += 1
                return Optimum(entries, prices)
        self._unanswered += 1
        return None

    def _answer(
        self, program: SolverProgram, limits: Limits, start: Floats | None, budget: Budget
    ) -> Answer:
        self._programs += 1
        incidents: list[str] = []
        for asked in self._asked:
            if asked.passed_over is not None:
                continue
            name = asked.engine.name
            try:
                claim = asked.claim(program, limits, start, budget)
                answer = _answer(program, claim, f"{name} {asked.version}")
                return replace(answer, incidents=tuple(incidents))
            except MissingEngineError as error:
                asked.passed_over = f"missing: {error}"
                incidents.append(f"{name} is missing: {error}")
            except UnusableEngineError as error:
                asked.passed_over = str(error)
                incidents.append(f"{name} failed: {error}")
            except EngineError as error:
                incidents.append(f"{name} failed: {error}")
        self._unanswered += 1
        answer = _answer(program, _better(program, Claim(status="failed"), start), None)
        return replace(answer, incidents=tuple(incidents))


def solve(
    problem: LpProblem,
    limits: Limits | None = None,
    *,
    known: Mapping[str, float] | None = None,
    engines: Sequence[Engine] | None = None,
) -> Answer:
    """Solve one program by itself: `Solver.solve` in a run of its own."""
    return Solver(engines).solve(problem, limits, known=known)


def _within(limits: Limits, budget: Budget) -> Limits:
    """The limits, shortened so that they end before the deadline. Raises: OutOfTime when it has
    passed."""
    budget.check()
    return replace(
        limits,
        seconds=min(limits.seconds, budget.left_s),
        grace_s=min(limits.grace_s, LATE_S) if budget.left_s < limits.seconds else limits.grace_s,
    )


def _checked(program: SolverProgram, claim: Claim, limits: Limits, start: Floats | None) -> Claim:
    """The claim with integer values rounded, its objective computed again, and no better status
    than the figures support.

    Raises: EngineError when the claim cannot be true.
    """
    if claim.status == "infeasible" and start is not None:
        raise EngineError("lied: it calls the program infeasible, but an assignment is known")
    if claim.values is not None:
        wrong = program.violation(claim.values)
        if wrong is not None:
            raise EngineError(f"lied: {wrong}")
        values = program.rounded(claim.values)
        objective = program.objective_of(values)
        if claim.objective is None or _apart(program, values, claim.objective - objective):
            raise EngineError(f"lied: objective {objective:g} was reported as {claim.objective}")
        claim = replace(claim, values=values, objective=objective)
    elif claim.status in ("optimal", "feasible"):
        raise EngineError(f"lied: it calls the program {claim.status} but gives no assignment")
    for reached in (claim.values, start):
        if reached is None or claim.bound is None:
            continue
        objective = program.objective_of(reached)
        if claim.bound > objective and _apart(program, reached, claim.bound - objective):
            raise EngineError(f"lied: its bound is {claim.bound:g}, above {objective:g}")
    return _graded(program, _better(program, claim, start), limits)


def _better(program: SolverProgram, claim: Claim, start: Floats | None) -> Claim:
    """The claim, with the known assignment where that is better or the only one."""
    if start is None:
        return claim
    objective = program.objective_of(start)
    if claim.objective is not None and claim.objective <= objective:
        return claim
    status = claim.status if claim.status in ("optimal", "failed") else "feasible"
    return replace(claim, status=status, values=start, objective=objective)


def _graded(program: SolverProgram, claim: Claim, limits: Limits) -> Claim:
    """The claim with the status that its bound supports: optimal only where the bound proves it,
    also when the search ended at a limit. A bound that exceeds the objective by rounding is set to
    the objective."""
    if claim.objective is None or claim.status not in ("optimal", "feasible"):
        return claim
    if claim.bound is None:
        return replace(claim, status="feasible")
    bound = min(claim.bound, claim.objective)
    allowed = max(limits.absolute_gap, limits.relative_gap * abs(claim.objective))
    assert claim.values is not None
    missing = claim.objective - bound - allowed
    proven = missing <= 0 or not _apart(program, claim.values, missing)
    return replace(
        claim,
        status="optimal" if proven else "feasible",
        bound=bound,
        stopped_by=None if proven else claim.stopped_by,
    )


def _apart(program: SolverProgram, values: Floats, difference: float) -> bool:
    """Whether two objectives differ by more than the engines' tolerance."""
    size = float(abs(program.cost * values).sum()) + abs(program.constant)
    return abs(difference) > TOLERANCE * max(size, 1e-3)


def _answer(program: SolverProgram, claim: Claim, engine: str | None) -> Answer:
    def signed(value: float | None) -> float | None:
        return None if value is None else program.sense * value

    values = [] if claim.values is None else claim.values.tolist()
    return Answer(
        status=claim.status,
        objective=signed(claim.objective),
        bound=signed(claim.bound),
        values=dict(zip(program.names, values, strict=bool(values))),
        engine=engine,
        nodes=claim.nodes,
        stopped_by=claim.stopped_by,
    )
