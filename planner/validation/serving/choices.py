"""How well estimates choose: the run with the most throughput under a limit of TPOT.

Measured runs of one job, which differ in degrees, devices and requests under way, are the plans
that there are. Of those that are estimated to keep a limit, the one with the most throughput of a
device is chosen. What it was measured to do is compared with the best that was measured within the
limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.validation.compare import Comparison

LIMITS = (0.25, 0.5, 0.75)
"""Shares of a job's runs whose measured TPOT is within a limit, each between two of them."""
FEWEST = 4
"""Runs of a job, at least, for a choice among them."""
NOISE = 0.036
"""Share by which nine of ten repeated runs of one configuration differ at most (527 configurations
of InferenceMAX, December 2025 and January 2026): a limit exceeded by less is not missed."""
CLOSE = 0.1
"""Share of the best throughput within which a choice counts as close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoosableRun:
    """One run. `job`: everything that is not chosen; `layout`: degrees and devices. Seconds, and
    output tokens per second of a device."""

    mode: str
    job: tuple[object, ...]
    layout: tuple[object, ...]
    tpot: Comparison
    rate: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One choice under a limit. `regret`: share of the best measured throughput that the chosen run
    lacks; `missed`: it was measured above the limit by more than noise."""

    mode: str
    regret: float
    missed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceSummary:
    """Choices of one mode: mean regret, share that missed their limit, and share whose throughput
    is close to the best."""

    count: int
    jobs: int
    mean_regret: float
    missed: float
    close: float


def choices_of(runs: Sequence[ChoosableRun]) -> dict[str, ChoiceSummary]:
    """By mode; only jobs with several layouts are counted."""
    groups: dict[tuple[str, tuple[object, ...]], list[ChoosableRun]] = {}
    for run in runs:
        groups.setdefault((run.mode, run.job), []).append(run)
    found: dict[str, list[list[Choice]]] = {}
    for (mode, _), group in groups.items():
        if len(group) >= FEWEST and len({run.layout for run in group}) > 1:
            found.setdefault(mode, []).append(list(_choices(group)))
    return {mode: _summary(jobs) for mode, jobs in sorted(found.items())}


def _choices(runs: Sequence[ChoosableRun]) -> Iterator[Choice]:
    """One for each limit."""
    measured = sorted(run.tpot.measured for run in runs)
    for share in LIMITS:
        at = int(share * (len(measured) - 1))
        limit_s = sqrt(measured[at] * measured[at + 1])
        within = [run for run in runs if run.tpot.predicted <= limit_s]
        pick = max(within, key=lambda run: run.rate.predicted, default=None)
        if pick is None:
            pick = min(runs, key=lambda run: run.tpot.predicted)
        best = max(run.rate.measured for run in runs if run.tpot.measured <= limit_s)
        yield Choice(
            mode=pick.mode,
            regret=max(0.0, 1 - pick.rate.measured / best),
            missed=pick.tpot.measured > limit_s * (1 + NOISE),
        )


def _summary(jobs: Sequence[Sequence[Choice]]) -> ChoiceSummary:
    every = [one for job in jobs for one in job]
    return ChoiceSummary(
        count=len(every),
        jobs=len(jobs),
        mean_regret=fmean(one.regret for one in every),
        missed=fmean(one.missed for one in every),
        close=fmean(one.regret <= CLOSE for one in every),
    )
