"""The one place that runs integer programs: HiGHS, or CBC where HiGHS is missing or fails.

Programs are written with PuLP; small linear ones, of which there are many, as arrays. An answer is
trusted only after its assignment has been checked against the program's own rows. Work limits a
search before the clock does, so that the same program gives the same answer.
"""

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
from planner.solver.solver import Engine, Solver, solve

__all__ = [
    "Answer",
    "Claim",
    "Engine",
    "EngineError",
    "EngineRecord",
    "Limits",
    "MissingEngineError",
    "Solver",
    "SolverRecord",
    "UnusableEngineError",
    "solve",
]
