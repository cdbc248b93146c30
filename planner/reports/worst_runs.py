"""The runs whose step time is predicted worst, and what that most likely comes from."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

from planner.reports.markdown import table
from planner.reports.sentences import time_shares
from planner.reports.validation import ABSENT, signed
from planner.training.confidence.regimes import Regime, host_share
from planner.validation.statistics import quantile
from planner.wording.labels import TIME_LABELS, degrees
from planner.wording.units import percent, plural, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.validation.compare import RunResult
    from planner.validation.validate import SourceResult

WORST = 20
LARGE = 0.25
"""Share of the predicted step from which a part of it is a likely reason for an error."""
OUTLIER = 4
"""Times the median error of its source from which a run stands alone."""
FEW = 5
"""Runs in a regime below which it counts as hardly measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A run with a measured step time, the source it is from, and its regime."""

    source: SourceResult
    result: RunResult
    regime: Regime

    @property
    def error(self) -> float:
        assert self.result.step is not None
        return self.result.step.error


def worst_runs(judged: Sequence[Judged]) -> list[str]:
    worst = sorted(judged, key=lambda one: -abs(log(1 + one.error)))[:WORST]
    rows = [
        (
            f"{one.source.name}: {one.result.id}",
            f"{degrees(one.result.plan.degrees)} b{one.result.plan.micro_batch_size}",
            seconds(one.result.step.predicted) if one.result.step else ABSENT,
            seconds(one.result.step.measured) if one.result.step else ABSENT,
            signed(one.error),
            likely_reason(one, judged),
        )
        for one in worst
    ]
    return [
        f"## The worst {len(worst)}, and why",
        "",
        "The reason is a guess from what the estimate is made of and from its neighbours: whether "
        "the whole source is off the same way, what fills the predicted step, how little is "
        "measured in the regime.",
        "",
        *table(("run", "plan", "predicted", "measured", "error", "likely reason"), rows),
    ]


def likely_reason(one: Judged, judged: Sequence[Judged]) -> str:
    """What the error of a run most likely comes from, the strongest hints first."""
    hints = []
    siblings = [other.error for other in judged if other.source is one.source]
    bias = sum(siblings) / len(siblings)
    if len(siblings) > 1 and abs(bias) > abs(one.error) / 2 and bias * one.error > 0:
        direction = "slow" if bias > 0 else "fast"
        hints.append(f"the whole source is predicted too {direction} ({signed(bias)})")
    share = host_share(one.result.estimate)
    if share > LARGE:
        hints.append(f"{percent(share)} of the step is waiting for the host")
    for label, part in time_shares(one.result.estimate.time):
        if part > LARGE and label != TIME_LABELS["compute_s"]:
            hints.append(f"{percent(part)} is {label}")
    alike = sum(other.regime == one.regime for other in judged)
    if alike < FEW:
        hints.append(f"{plural(alike, 'run')} measured in this regime")
    typical = quantile(sorted(abs(error) for error in siblings), 0.5)
    if abs(one.error) > OUTLIER * typical:
        hints.append(f"alone in its source (median {percent(typical)})")
    if not hints:
        largest = time_shares(one.result.estimate.time)[:3]
        hints.append(", ".join(f"{percent(part)} {label}" for label, part in largest))
    return "; ".join(hints)
