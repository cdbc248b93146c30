"""What a solver is asked in addition to the program, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.arrays import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far to search and with what. The work limits (`nodes`, `rounds`) end a search that would
    take too long, in the same way on every machine; the clock is only a safety net.

    nodes: of the branch-and-bound tree. rounds: how often the solver checks its limits, about once
    for each relaxation it solves again; this also ends long work at the root (HiGHS only: CBC
    limits its rounds of cuts by itself). grace_s: how much later than `seconds` an engine may
    return before it counts as hung. relative_gap, absolute_gap: the distance between objective and
    bound at which an answer counts as optimal.
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
    """What an engine claims about the program in minimising form, before it is checked.

    status: optimal, feasible, infeasible, unbounded or unknown. bound: a lower bound on every
    assignment. stopped_by: "work" or "time" where a limit ended the search.
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

    status: optimal (proven within the gap), feasible (an assignment without proof), infeasible,
    unbounded, unknown (neither assignment nor proof), or failed (no engine gave a believable
    answer). bound: the objective cannot be better; None where it is unknown. values: by variable
    name, empty without an assignment; integer variables are whole. engine: who answered, with its
    version; None where only the known assignment is left. incidents: engines that were missing,
    died, hung or gave a false answer, in order.
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
        """Whether the same program gives this answer again. It does not where the clock ended the
        search."""
        return self.stopped_by != "time"

    @property
    def gap(self) -> float | None:
        """Distance between objective and bound, as a share of the objective; None if unknown."""
        if self.objective is None or self.bound is None:
            return None
        return abs(self.objective - self.bound) / max(abs(self.objective), 1e-12)


class EngineError(Exception):
    """An engine gave no answer to a program, or an impossible one."""


class UnusableEngineError(EngineError):
    """An engine died or hung; it is not asked again."""


class MissingEngineError(UnusableEngineError):
    """The engine is not installed here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRecord:
    """What an engine did in a run. `passed_over`: why it was no longer asked; None if it still
    was."""

    name: str
    version: str | None
    answered: int
    passed_over: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverRecord:
    """What happened to the programs of a run: their number, how many of them no engine answered,
    and the engines that were asked, in order."""

    programs: int = 0
    unanswered: int = 0
    engines: tuple[EngineRecord, ...] = ()
