"""What many results say together: errors, fit outcomes, and how well they rank plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.validation.compare import MEMORY_KINDS, STAGE_QUANTITIES
from planner.validation.statistics import (
    ErrorSummary,
    constant_error,
    kendall_tau,
    mean,
    regret,
    summarize,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planner.validation.compare import Comparison, RunResult

RANKED_GROUP = 4
"""Smallest group whose rank correlation counts."""
CLOSE = 0.05
"""Regret that is as good as none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSummary:
    """`false_fit`: ran out of memory though it was predicted to fit; `false_oom`: the reverse."""

    count: int
    false_fit: int
    false_oom: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegretSummary:
    """Over groups of two or more timed runs. `within_5_percent` is a share of the groups."""

    groups: int
    mean: float | None = None
    max: float | None = None
    within_5_percent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankSummary:
    """Kendall's tau-b over groups of four or more timed runs."""

    groups: int
    mean_tau: float | None = None
    min_tau: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`constant_mfu_error` is the mean absolute error of the best single MFU on the same runs,
    `skill` the part of it that the estimates remove."""

    step: ErrorSummary
    constant_mfu_error: float | None
    skill: float | None
    memory: dict[str, ErrorSummary]
    min_rank_allocated: ErrorSummary
    stages: dict[str, ErrorSummary]
    fits: FitSummary
    regret: RegretSummary
    ranks: RankSummary


def summarize_results(sources: Sequence[Sequence[RunResult]]) -> Summary:
    """`sources` are the results file by file; the same group name in two files is two groups."""
    results = [result for source in sources for result in source]
    step = summarize(_errors(result.step for result in results))
    constant = constant_error([r.measured_mfu for r in results if r.measured_mfu is not None])
    groups = [group for source in sources for group in timed_groups(source)]
    return Summary(
        step=step,
        constant_mfu_error=constant,
        skill=_skill(step.mean_abs_error, constant),
        memory={
            kind: summarize(_errors(result.memory[kind] for result in results))
            for kind in MEMORY_KINDS
        },
        min_rank_allocated=summarize(_errors(result.min_rank_allocated for result in results)),
        stages={
            quantity: summarize(
                _errors(one for result in results for one in result.stages.get(quantity, ()))
            )
            for quantity in STAGE_QUANTITIES
        },
        fits=_fits(results),
        regret=_regret(groups),
        ranks=_ranks(groups),
    )


def timed_groups(results: Sequence[RunResult]) -> list[list[Comparison]]:
    """The timed runs of every group, groups and runs in the order of the file."""
    groups: dict[str, list[Comparison]] = {}
    for result in results:
        if result.group is not None and result.step is not None:
            groups.setdefault(result.group, []).append(result.step)
    return list(groups.values())


def _errors(comparisons: Iterable[Comparison | None]) -> list[float]:
    return [one.error for one in comparisons if one is not None]


def _skill(error: float | None, constant: float | None) -> float | None:
    """None without runs, and where a constant has no error to remove (one run alone)."""
    return None if error is None or not constant else 1 - error / constant


def _fits(results: Sequence[RunResult]) -> FitSummary:
    known = [result for result in results if result.fits_measured is not None]
    return FitSummary(
        count=len(known),
        false_fit=sum(r.fits_predicted and not r.fits_measured for r in known),
        false_oom=sum(not r.fits_predicted and bool(r.fits_measured) for r in known),
    )


def _columns(group: Sequence[Comparison]) -> tuple[list[float], list[float]]:
    return [one.predicted for one in group], [one.measured for one in group]


def _regret(groups: Sequence[Sequence[Comparison]]) -> RegretSummary:
    losses = [regret(*_columns(group)) for group in groups if len(group) > 1]
    if not losses:
        return RegretSummary(groups=0)
    return RegretSummary(
        groups=len(losses),
        mean=mean(losses),
        max=max(losses),
        within_5_percent=mean([float(loss <= CLOSE) for loss in losses]),
    )


def _ranks(groups: Sequence[Sequence[Comparison]]) -> RankSummary:
    correlations = [kendall_tau(*_columns(group)) for group in groups if len(group) >= RANKED_GROUP]
    known = [tau for tau in correlations if tau is not None]
    if not known:
        return RankSummary(groups=0)
    return RankSummary(groups=len(known), mean_tau=mean(known), min_tau=min(known))
