"""Solve a program with the first engine that gives a believable answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from planner.solver.answer import Answer, Claim, EngineError, Limits, MissingEngineError
from planner.solver.cbc import Cbc
from planner.solver.highs import Highs
from planner.solver.program import TOLERANCE, SolverProgram

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pulp import LpProblem

    from planner.arrays import Floats


class Engine(Protocol):
    """A solver. `run` takes the program in minimising form and, if there is one, an assignment to
    start from. Raises EngineError when it dies or hangs, MissingEngineError when it is not
    there."""

    name: str

    def version(self) -> str: ...

    def run(self, program: SolverProgram, limits: Limits, start: Floats | None) -> Claim: ...


ENGINES: tuple[Engine, ...] = (Highs(), Cbc())
"""In the order they are asked."""


def solve(
    problem: LpProblem,
    limits: Limits | None = None,
    *,
    known: Mapping[str, float] | None = None,
    engines: Sequence[Engine] = ENGINES,
) -> Answer:
    """Solve a PuLP program; its variables have their values afterwards.

    `known` is an assignment by variable name that the caller has already (what it leaves out is
    0). Engines start from it, the answer is never worse than it, and an engine that says there is
    none, or bounds the objective away from it, is caught out. Engines that fail are passed over,
    and the answer says so in `incidents`; when all do, the status is "failed" and `known`, if
    given, is the assignment.

    Raises: ValueError when two variables share a name or `known` is no assignment of the program.
    """
    limits = limits or Limits()
    program = SolverProgram.of(problem)
    start = None if known is None else program.assignment(known)
    if start is not None:
        wrong = program.violation(start)
        if wrong is not None:
            raise ValueError(f"the known assignment is none of this program: {wrong}")
        start = program.rounded(start)
    incidents: list[str] = []
    answer = None
    for engine in engines:
        try:
            claim = _checked(program, engine.run(program, limits, start), limits, start)
            answer = _answer(program, claim, f"{engine.name} {engine.version()}")
            break
        except MissingEngineError as error:
            incidents.append(f"{engine.name} is missing: {error}")
        except EngineError as error:
            incidents.append(f"{engine.name} failed: {error}")
    if answer is None:
        answer = _answer(program, _better(program, Claim(status="failed"), start), None)
    for variable in problem.variables():
        variable.varValue = answer.values.get(variable.name)
    return replace(answer, incidents=tuple(incidents))


def _checked(program: SolverProgram, claim: Claim, limits: Limits, start: Floats | None) -> Claim:
    """The claim with whole values, its objective computed again, and no better status than the
    figures bear out.

    Raises: EngineError when it cannot be true.
    """
    if claim.status == "infeasible" and start is not None:
        raise EngineError("lied: it calls the program infeasible, and an assignment is known")
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
        raise EngineError(f"lied: it calls the program {claim.status} and gives no assignment")
    for reached in (claim.values, start):
        if reached is None or claim.bound is None:
            continue
        objective = program.objective_of(reached)
        if claim.bound > objective and _apart(program, reached, claim.bound - objective):
            raise EngineError(f"lied: its bound is {claim.bound:g}, above {objective:g}")
    return _graded(program, _better(program, claim, start), limits)


def _better(program: SolverProgram, claim: Claim, start: Floats | None) -> Claim:
    """The claim, with the known assignment where it is better or the only one."""
    if start is None:
        return claim
    objective = program.objective_of(start)
    if claim.objective is not None and claim.objective <= objective:
        return claim
    status = claim.status if claim.status in ("optimal", "failed") else "feasible"
    return replace(claim, status=status, values=start, objective=objective)


def _graded(program: SolverProgram, claim: Claim, limits: Limits) -> Claim:
    """Optimal is what the bound proves; a bound above the objective by rounding is the objective.
    A search that ended at a limit with its bound reached is optimal as well."""
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
