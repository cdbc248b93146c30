"""What is asked of a solver beside the program, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.arrays import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far to search and with what. Work ends a search that would take too long, the same way
    on every machine; the clock is the safety net behind it.

    nodes: of the branch-and-bound tree. rounds: how often the solver looks at its limits, about
    once a re-solve of a relaxation, which also ends long work at the root (HiGHS; CBC bounds its
    rounds of cuts by itself). grace_s: how much later than `seconds` an engine may come back before
    it counts as hung. relative_gap, absolute_gap: the distance between objective and bound at which
    an answer counts as optimal.
    """

    nodes: int = 100_000
    rounds: int = 1_000_000
    seconds: float = 60.0
    grace_s: float = 5.0
    relative_gap: float = 1e-9
    absolute_gap: float = 1e-9
    threads: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Claim:
    """What an engine says of the program in minimising form, before anybody has checked it.

    status: optimal, feasible, infeasible, unbounded or unknown. bound: no assignment is below it.
    stopped_by: work or time where a limit ended the search.
    """

    status: str
    values: Floats | None = None
    objective: float | None = None
    bound: float | None = None
    nodes: int | None = None
    stopped_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The checked answer.

    status: optimal: proven within the gap; feasible: an assignment, unproven; infeasible;
    unbounded; unknown: no assignment, no proof; failed: no engine gave a believable answer.
    bound: the objective can be no better, None where nobody knows one. values: by variable name,
    empty without an assignment; integer variables are whole. engine: who answered, with version;
    None where only the known assignment is left. incidents: engines that were missing, died, hung
    or were caught out, in order.
    """

    status: str
    objective: float | None = None
    bound: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    engine: str | None = None
    nodes: int | None = None
    stopped_by: str | None = None
    incidents: tuple[str, ...] = ()

    @property
    def proven(self) -> bool:
        return self.status == "optimal"

    @property
    def repeatable(self) -> bool:
        """Whether the same program gives this answer again: not where the clock ended it."""
        return self.stopped_by != "time"

    @property
    def gap(self) -> float | None:
        """Distance between objective and bound, as a share of the objective; None if unknown."""
        if self.objective is None or self.bound is None:
            return None
        return abs(self.objective - self.bound) / max(abs(self.objective), 1e-12)


class EngineError(Exception):
    """An engine gave no answer to a program, or one that cannot be."""


class UnusableEngineError(EngineError):
    """An engine died or hung: it is not worth asking again."""


class MissingEngineError(UnusableEngineError):
    """The engine is not installed here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRecord:
    """What an engine did in a run. `passed_over`: why it was not asked any more, if so."""

    name: str
    version: str | None
    answered: int
    passed_over: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverRecord:
    """What became of the programs of a run: how many there were, how many of them no engine
    answered, and the engines that were asked, in their order."""

    programs: int = 0
    unanswered: int = 0
    engines: tuple[EngineRecord, ...] = ()
