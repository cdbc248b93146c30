"""What all formats say alike: the verdict on each plan, and how many findings there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.wording.binding import fit_words
from planner.wording.labels import degrees
from planner.wording.ranges import seconds_between
from planner.wording.units import capacity, gib, percent, plural, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.checks.check import Checked
    from planner.checks.finding import Finding


def findings_of(checked: Sequence[Checked]) -> tuple[Finding, ...]:
    return tuple(finding for one in checked for finding in one.findings)


def tally(checked: Sequence[Checked]) -> str:
    """`1 error and 2 warnings in 3 plans`."""
    findings = findings_of(checked)
    errors = sum(one.severity == "error" for one in findings)
    parts = [
        plural(count, noun)
        for count, noun in ((errors, "error"), (len(findings) - errors, "warning"))
        if count
    ]
    unread = sum(not one.readable for one in checked)
    lost = f", {unread} of them unreadable" if unread else ""
    return f"{' and '.join(parts) or 'nothing to report'} in {plural(len(checked), 'plan')}{lost}"


def check_verdict(one: Checked) -> str:
    """`ok: plans.json#1: t4 p8 d32 fits (60.1 of 79.2 GiB), 18.61 s/step (15.84–23.15)`."""
    return f"{'ok' if one.passed else 'fail'}: {one.reference}: {_figures(one)}"


def _figures(one: Checked) -> str:
    if one.subject is None:
        return "cannot be read"
    name = degrees(one.subject.plan.degrees)
    if one.estimate is None:
        return f"{name} cannot run"
    stage = one.estimate.memory.binding
    peak = f"{gib(stage.peak_bytes)} of {capacity(stage.capacity_bytes)} GiB"
    words = fit_words(one.estimate)
    if not one.estimate.memory.fits:
        return f"{name} {words}" if words.startswith("tight") else f"{name} {words} ({peak})"
    step = f"{seconds(one.estimate.step_s)}/step{seconds_between(one.estimate)}"
    return f"{name} {words} ({peak}), {step}{_distance(one)}"


def _distance(one: Checked) -> str:
    """How far the best plan is, where one was looked for."""
    if one.best is None or one.slower_than_best is None:
        return ""
    searched = "" if one.proven else " so far, not proven best"
    if one.slower_than_best <= 0:
        return f", nothing better found{searched}"
    best = f"{seconds(one.best.estimate.step_s)}: {degrees(one.best.plan.degrees)}"
    return f", {percent(one.slower_than_best)} above the best found{searched} ({best})"
