"""Does a plan fit, and is it close enough to the best one known?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from planner.confidence.interval import tied
from planner.plan_document.write import confidence_fields
from planner.reports.labels import degrees
from planner.reports.sentences import seconds_between
from planner.reports.units import capacity, gib, percent, seconds
from planner.search.infeasible import binding_constraint

if TYPE_CHECKING:
    from typing import Any

    from planner.plan import Estimate, Plan, RankedPlan

ROUNDING = 1e-9
Reason = Literal["ok", "does-not-fit", "far-from-best"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`estimate` is of the plan in question. `slower_than_best`: step time over that of the best
    plan, minus 1; None when the plan does not fit, because then no best plan is looked for.
    `tied_with_best`: too close to it to tell which is faster."""

    reason: Reason
    line: str
    estimate: Estimate
    slower_than_best: float | None = None
    tied_with_best: bool | None = None

    @property
    def passed(self) -> bool:
        return self.reason == "ok"

    def as_document(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "reason": self.reason,
            "message": self.line,
            "slower_than_best": self.slower_than_best,
            "tied_with_best": self.tied_with_best,
            "step_s": self.estimate.step_s,
            "fit_class": self.estimate.fit_class,
            "confidence": confidence_fields(self.estimate),
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
        estimate=estimate,
    )


def judge(plan: Plan, estimate: Estimate, best: RankedPlan | None, *, within: float) -> Verdict:
    """The verdict on a plan: it fits, and its step takes at most `within` (0.1 is 10 %) longer
    than the best plan's. `best` is None when a search found nothing to compare with."""
    failed = does_not_fit(plan, estimate)
    if failed is not None:
        return failed
    binding = estimate.memory.binding
    name = degrees(plan.degrees)
    tightly = ", tightly" if estimate.fit_class == "tight" else ""
    memory = f"{gib(binding.peak_bytes)} of {capacity(binding.capacity_bytes)} GiB{tightly}"
    step = f"{seconds(estimate.step_s)}/step{seconds_between(estimate)}"
    if best is None:
        return Verdict(
            reason="ok",
            line=f"ok: {name} fits ({memory}), {step}; no other plan to compare with",
            estimate=estimate,
        )
    slower = estimate.step_s / best.estimate.step_s - 1
    tie = tied(estimate.step_s, best.estimate.step_s)
    rival = f"{seconds(best.estimate.step_s)}: {degrees(best.plan.degrees)}"
    if slower > within + ROUNDING:
        return Verdict(
            reason="far-from-best",
            line=(
                f"fail: {name} takes {step}, {percent(slower)} more than the best found ({rival}); "
                f"{percent(within)} is allowed"
            ),
            estimate=estimate,
            slower_than_best=slower,
            tied_with_best=tie,
        )
    too_close = ", too close to tell" if tie else ""
    distance = (
        f"{percent(slower)} above the best found ({rival}){too_close}"
        if slower > 0
        else "nothing better found"
    )
    return Verdict(
        reason="ok",
        line=f"ok: {name} fits ({memory}), {step}, {distance}",
        estimate=estimate,
        slower_than_best=slower,
        tied_with_best=tie,
    )
