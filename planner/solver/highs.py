"""HiGHS through its Python module, with the whole program passed at once.

PuLP's own interface to it adds columns one by one, and raises KeyError when a node limit ends the
search (`HighsModelStatus.kSolutionLimit` is not among the states it knows).
"""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from planner.solver.answer import Claim, EngineError, MissingEngineError, UnusableEngineError
from planner.solver.quiet import quiet_stdout

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.solver.answer import Limits
    from planner.solver.linear import LinearProgram
    from planner.solver.program import SolverProgram

CANCEL_S = 0.05
"""How long a solver may take to react to a cancellation before it is abandoned."""

_STATES = {
    "kOptimal": ("optimal", None),
    "kInfeasible": ("infeasible", None),
    "kUnbounded": ("unbounded", None),
    "kTimeLimit": ("unknown", "time"),
    "kSolutionLimit": ("unknown", "work"),
    "kIterationLimit": ("unknown", "work"),
    "kInterrupt": ("unknown", "work"),
    "kHighsInterrupt": ("unknown", "work"),
    "kModelEmpty": ("optimal", None),
}
"""Model state (`HConst.h`, HighsModelStatus) to the status and to the limit that stopped the
search."""


class Highs:
    """The engine. `run` may be called from one thread at a time."""

    name = "highs"
    _threads: ClassVar[int | None] = None
    """Threads of the scheduler, of which a process has only one; None before the first run."""

    def __init__(self) -> None:
        self._version: str | None = None

    def version(self) -> str:
        """Raises: MissingEngineError."""
        if self._version is None:
            self._version = str(_new(_highspy()).version())
        return self._version

    def keep(self, program: LinearProgram, limits: Limits) -> KeptByHighs:
        """A program that rows are added to between its answers. Raises: EngineError."""
        highspy = _highspy()
        highs = _new(highspy)
        _set_options(highspy, highs, limits)
        return KeptByHighs(highspy, highs, program)

    def run(self, program: SolverProgram, limits: Limits, start: Floats | None) -> Claim:
        """Raises: EngineError."""
        highspy = _highspy()
        if self._threads not in (None, limits.threads):
            highspy.Highs.resetGlobalScheduler(True)
        Highs._threads = limits.threads
        highs = _new(highspy)
        _set_options(highspy, highs, limits)
        if highs.passModel(_model(highspy, program)) == highspy.HighsStatus.kError:
            raise EngineError("the program was refused")
        if start is not None:
            solution = highspy.HighsSolution()
            solution.col_value = start.tolist()
            highs.setSolution(solution)
        _run(highs, limits)
        return _claim(highspy, highs)


class KeptByHighs:
    """A linear program that HiGHS keeps with the basis of its last answer: after more rows it is
    solved from there."""

    def __init__(self, highspy: Any, highs: Any, program: LinearProgram) -> None:
        self._highspy, self._highs = highspy, highs
        for cost, free in zip(program.cost.tolist(), program.free.tolist(), strict=True):
            highs.addCol(cost, -np.inf if free else 0.0, np.inf, 0, [], [])
        self.add(program.rows, program.row_lower, program.row_upper)

    def add(self, rows: Floats, lower: Floats, upper: Floats) -> None:
        """Add `lower` ≤ `rows` [R, C] x ≤ `upper`."""
        for row, least, most in zip(rows, lower.tolist(), upper.tolist(), strict=True):
            (columns,) = row.nonzero()
            self._highs.addRow(least, most, len(columns), columns.astype(np.int32), row[columns])

    def solve(self) -> tuple[Floats, Floats]:
        """The best entries [C] and the prices of the rows [R]. Raises: EngineError."""
        self._highs.run()
        state = self._highs.getModelStatus()
        if state != self._highspy.HighsModelStatus.kOptimal:
            raise EngineError(f"ended with {self._highs.modelStatusToString(state)}")
        found = self._highs.getSolution()
        return np.array(found.col_value), np.array(found.row_dual)


def _set_options(highspy: Any, highs: Any, limits: Limits) -> None:
    for option, value in _options(limits).items():
        if highs.setOptionValue(option, value) == highspy.HighsStatus.kError:
            raise EngineError(f"option {option} = {value} was refused")


def _highspy() -> Any:
    try:
        import highspy
    except ImportError as error:
        raise MissingEngineError("the package highspy is not installed") from error
    return highspy


def _new(highspy: Any) -> Any:
    """A solver that prints nothing, not even its banner."""
    with quiet_stdout():
        highs = highspy.Highs()
        highs.setOptionValue("output_flag", False)
    return highs


def _options(limits: Limits) -> dict[str, object]:
    return {
        "threads": limits.threads,
        "parallel": "off" if limits.threads == 1 else "on",
        "random_seed": limits.seed,
        "time_limit": float(limits.seconds),
        "mip_max_nodes": limits.nodes,
        "mip_rel_gap": limits.relative_gap,
        "mip_abs_gap": limits.absolute_gap,
    }


def _model(highspy: Any, program: SolverProgram) -> Any:
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(program.cost), len(program.row_lower)
    model.col_cost_, model.offset_ = program.cost, program.constant
    model.col_lower_, model.col_upper_ = program.lower, program.upper
    model.row_lower_, model.row_upper_ = program.row_lower, program.row_upper
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.num_col_, model.a_matrix_.num_row_ = model.num_col_, model.num_row_
    model.a_matrix_.start_ = program.starts.astype(np.int32)
    model.a_matrix_.index_ = program.columns.astype(np.int32)
    model.a_matrix_.value_ = program.coefficients
    if program.whole.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        model.integrality_ = [kinds[whole] for whole in program.whole.tolist()]
    return model


def _run(highs: Any, limits: Limits) -> None:
    """Solve on a thread, so that an interrupt is heard and a hung solver can be abandoned."""
    looks = 0
    cancelled = False
    failures: list[Exception] = []

    def look(event: Any) -> None:
        nonlocal looks
        looks += 1
        if cancelled or looks >= limits.rounds:
            event.data_in.user_interrupt = True

    def work() -> None:
        try:
            highs.run()
        except Exception as error:
            failures.append(error)

    highs.cbMipInterrupt.subscribe(look)
    worker = Thread(target=work, daemon=True)
    worker.start()
    try:
        worker.join(limits.seconds + limits.grace_s)
        if worker.is_alive():
            raise UnusableEngineError(
                f"hung: no answer after {limits.seconds + limits.grace_s:g} s"
            )
    except BaseException:
        cancelled = True
        worker.join(CANCEL_S)
        raise
    if failures:
        raise failures[0]


def _claim(highspy: Any, highs: Any) -> Claim:
    state = highs.getModelStatus()
    if state.name not in _STATES:
        raise EngineError(f"ended with {highs.modelStatusToString(state)}")
    status, stopped_by = _STATES[state.name]
    info = highs.getInfo()
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    if not found or status in ("infeasible", "unbounded"):
        bound = info.mip_dual_bound if np.isfinite(info.mip_dual_bound) else None
        return Claim(
            status="unknown" if status == "optimal" else status,
            bound=bound if status == "unknown" else None,
            nodes=max(int(info.mip_node_count), 0),
            stopped_by=stopped_by,
        )
    mixed = bool(highs.getLp().integrality_)
    objective = float(info.objective_function_value)
    bound = float(info.mip_dual_bound) if mixed else objective if status == "optimal" else -np.inf
    return Claim(
        status="feasible" if status == "unknown" else status,
        values=np.array(highs.getSolution().col_value, dtype=np.float64),
        objective=objective,
        bound=bound if np.isfinite(bound) else None,
        nodes=max(int(info.mip_node_count), 0),
        stopped_by=stopped_by,
    )
