"""PL0: does the plan fit, and with how much to spare?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.wording.binding import binding_constraint, host_constraint
from planner.wording.units import capacity, gib

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.checks.finding import Finding
    from planner.checks.subject import Subject
    from planner.plan import Estimate, StageMemory


def memory_findings(subject: Subject, estimate: Estimate) -> Iterator[Finding]:
    """At most one: does not fit, headroom below, tight."""
    host = estimate.memory.host
    if host is not None and not host.fits:
        share = ("optimizer_offload",) if subject.plan.optimizer_offload else ("weight_offload",)
        yield subject.finding("PL001", share, f"does not fit: {host_constraint(host)}")
        return
    stage = estimate.memory.binding
    at = ("stages", stage.stage, "index")
    if stage.peak_bytes > stage.capacity_bytes:
        yield subject.finding(
            "PL001", at, f"does not fit: {binding_constraint(stage)}{_perhaps(stage, estimate)}"
        )
    elif stage.spare_bytes < 0:
        left = stage.capacity_bytes - stage.peak_bytes
        yield subject.finding(
            "PL002",
            at,
            f"{gib(left)} of {capacity(stage.capacity_bytes)} GiB stay free, "
            f"{gib(stage.headroom_bytes)} are asked for: {binding_constraint(stage)}",
        )
    elif estimate.fit_class != "fits":
        high = estimate.confidence.memory.high if estimate.confidence else 1.0
        fullest = max(
            estimate.memory.per_stage, key=lambda one: one.peak_bytes - one.capacity_bytes
        )
        yield subject.finding(
            "PL003",
            ("stages", fullest.stage, "index"),
            f"fits, tight: stage {fullest.stage} needs {gib(fullest.peak_bytes)} GiB, perhaps up "
            f"to {gib(round(fullest.peak_bytes * high))}, of "
            f"{capacity(fullest.capacity_bytes)} GiB with {gib(fullest.headroom_bytes)} kept free",
        )


def _perhaps(stage: StageMemory, estimate: Estimate) -> str:
    """That the estimate's range begins below the capacity, where it does."""
    if estimate.confidence is None:
        return ""
    low_bytes = round(stage.peak_bytes * estimate.confidence.memory.low)
    if low_bytes > stage.capacity_bytes:
        return ""
    return f"; {estimate.confidence.level:.0%} range from {gib(low_bytes)} GiB, which would fit"
