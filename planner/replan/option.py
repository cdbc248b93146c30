"""One way to go on after the damage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from planner.comparison.checkpoints import Loading
    from planner.plan import Estimate, Plan, RankedPlan
    from planner.training.scenario import Scenario

Way = Literal["keep", "swap", "drop", "drop-batch", "shift", "search", "search-batch"]
WAYS: tuple[Way, ...] = (
    *("keep", "swap", "drop", "drop-batch"),
    *("shift", "search", "search-batch"),
)
"""keep: as it is, the slow node or link included. swap: spare nodes in the place of those that are
gone. drop: fewer replicas, the same batch. drop-batch: the most replicas that are left, with a
batch close to the job's. shift: fewer stages with more layers each. search: anything.
search-batch: other stages and replicas, with a batch close to the job's."""
CHANGE_BATCH: tuple[Way, ...] = ("drop-batch", "search-batch")
"""Ways with another batch than the job's: advice, never taken unasked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A way that has a plan: in which scenario, and what the plan costs there. `what` says in words
    what changes."""

    way: Way
    what: str
    scenario: Scenario
    ranked: RankedPlan

    @property
    def plan(self) -> Plan:
        return self.ranked.plan

    @property
    def estimate(self) -> Estimate:
        return self.ranked.estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class NoWay:
    """A way that has no plan, and why."""

    way: Way
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A way to go on, against waiting for the repair. `share` of the tokens per second before;
    `restart_s`: until the first step; `break_even_s`: repairs that take longer make it worth while,
    None for keep, and where waiting is never worse; `idle`: hosts without work. `tokens`: trained
    in the time that is left, None where nobody says how long that is."""

    moved: Moved
    share: float
    checkpoint: Loading
    restart_s: float
    break_even_s: float | None
    idle: tuple[str, ...]
    tokens: float | None
