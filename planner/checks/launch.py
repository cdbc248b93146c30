"""Does a plan fit, and is it close enough to the best one known?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from planner.reports.labels import degrees
from planner.reports.units import capacity, gib, percent, seconds
from planner.search.infeasible import binding_constraint

if TYPE_CHECKING:
    from planner.plan import Estimate, Plan, RankedPlan

ROUNDING = 1e-9
Reason = Literal["ok", "does-not-fit", "far-from-best"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`slower_than_best`: step time over that of the best plan, minus 1; None when the plan does
    not fit, because then no best plan is looked for."""

    reason: Reason
    line: str
    slower_than_best: float | None = None

    @property
    def passed(self) -> bool:
        return self.reason == "ok"

    def as_document(self) -> dict[str, str | bool | float | None]:
        return {
            "passed": self.passed,
            "reason": self.reason,
            "message": self.line,
            "slower_than_best": self.slower_than_best,
        }


def does_not_fit(plan: Plan, estimate: Estimate) -> Verdict | None:
    """The verdict on a plan that lacks memory; None for a plan that fits with its headroom."""
    if estimate.memory.fits:
        return None
    return Verdict(
        reason="does-not-fit",
        line=(
            f"fail: {degrees(plan.degrees)} does not fit: "
            f"{binding_constraint(estimate.memory.binding)}"
        ),
    )


def judge(plan: Plan, estimate: Estimate, best: RankedPlan | None, *, within: float) -> Verdict:
    """The verdict on a plan: it fits, and its step takes at most `within` (0.1 is 10 %) longer
    than the best plan's. `best` is None when a search found nothing to compare with."""
    failed = does_not_fit(plan, estimate)
    if failed is not None:
        return failed
    binding = estimate.memory.binding
    name = degrees(plan.degrees)
    memory = f"{gib(binding.peak_bytes)} of {capacity(binding.capacity_bytes)} GiB"
    step = f"{seconds(estimate.step_s)}/step"
    if best is None:
        return Verdict(
            reason="ok", line=f"ok: {name} fits ({memory}), {step}; no other plan to compare with"
        )
    slower = estimate.step_s / best.estimate.step_s - 1
    rival = f"{seconds(best.estimate.step_s)}: {degrees(best.plan.degrees)}"
    if slower > within + ROUNDING:
        return Verdict(
            reason="far-from-best",
            line=(
                f"fail: {name} takes {step}, {percent(slower)} more than the best found ({rival}); "
                f"{percent(within)} is allowed"
            ),
            slower_than_best=slower,
        )
    distance = (
        f"{percent(slower)} above the best found ({rival})"
        if slower > 0
        else "nothing better found"
    )
    return Verdict(
        reason="ok",
        line=f"ok: {name} fits ({memory}), {step}, {distance}",
        slower_than_best=slower,
    )
