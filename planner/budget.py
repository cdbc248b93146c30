"""How much a computation may take, and what ended it.

A work limit ends a computation that would take too long, in the same way on every machine, so that
the same input gives the same answer. A deadline can end it earlier where the user set a time limit:
the answer is then the best so far, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Stopped(StrEnum):
    """What ended a computation."""

    PROVEN = "proven"
    WORK_LIMIT = "work limit"
    TIME_LIMIT = "time limit"
    INTERRUPTED = "interrupted"


class OutOfTime(BaseException):
    """The deadline of a budget has passed. Like KeyboardInterrupt it does not derive from
    Exception, so that code which handles errors does not catch it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Work and time of a computation, which it passes on to everything it calls.

    work: scales every effort; 1 is the usual amount. deadline_s: seconds on `clock`; infinite
    without a time limit.
    """

    work: float = 1.0
    deadline_s: float = inf
    clock: Callable[[], float] = monotonic

    @classmethod
    def lasting(cls, seconds: float | None, *, clock: Callable[[], float] = monotonic) -> Budget:
        """A budget that ends `seconds` from now; None: without a time limit."""
        return cls(deadline_s=inf if seconds is None else clock() + seconds, clock=clock)

    @property
    def timed(self) -> bool:
        """Whether there is a time limit."""
        return self.deadline_s < inf

    @property
    def left_s(self) -> float:
        """Seconds until the deadline, not negative; infinite without a time limit."""
        return max(0.0, self.deadline_s - self.clock()) if self.timed else inf

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        return self.timed and self.clock() >= self.deadline_s

    def check(self) -> None:
        """Raises: OutOfTime when the deadline has passed."""
        if self.late:
            raise OutOfTime

    def scaled(self, share: float) -> Budget:
        """The same with `share` times the work."""
        return replace(self, work=self.work * share)

    def longer(self, seconds: float) -> Budget:
        """The same with its deadline moved `seconds` later, or earlier where `seconds` is
        negative."""
        return replace(self, deadline_s=self.deadline_s + seconds)

    def stopped(self, *, proven: bool) -> Stopped:
        """What ended a computation that returns now."""
        if proven:
            return Stopped.PROVEN
        return Stopped.TIME_LIMIT if self.late else Stopped.WORK_LIMIT

    def meter(self, units: float) -> Meter:
        """A meter with this many units of work to spend; `work` does not scale them."""
        return Meter(self, units)


UNLIMITED = Budget()
"""The usual work and no time limit."""


@dataclass(slots=True)
class Meter:
    """The units of work that are left of an effort."""

    budget: Budget
    left: float

    def spend(self, units: float = 1) -> None:
        self.left -= units

    @property
    def late(self) -> bool:
        return self.budget.late

    @property
    def ended(self) -> bool:
        """Whether the work is used up or the deadline has passed."""
        return self.left <= 0 or self.late
