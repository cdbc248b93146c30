"""The report of `planner explain`: what bounds a plan, and what would make it faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from planner.reports.comparison import reasons, verdict
from planner.reports.estimate import decisions as all_decisions
from planner.reports.layout import heading, numbers_table, paragraph
from planner.reports.sentences import binding, bound_by, headline, ranges
from planner.wording.binding import memory_constraint
from planner.wording.units import percent, time_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from planner.comparison.parts import DifferingPart
    from planner.comparison.side import Side
    from planner.explanation.levers import Lever
    from planner.plan import Plan, RankedPlan


def explanation_report(
    ranked: RankedPlan,
    *,
    hardware: Sequence[Lever],
    decisions: Sequence[Lever],
    why_not: str | None,
) -> RenderableType:
    """`why_not`: the answer of `refused` or `otherwise`, where that was asked."""
    plan, estimate = ranked.plan, ranked.estimate
    parts: list[RenderableType] = []
    if why_not is not None:
        parts += [paragraph(why_not, style="bold"), paragraph("")]
    parts += [
        paragraph(headline("The plan", plan, estimate), style="bold"),
        paragraph(ranges(estimate)),
        paragraph(bound_by(estimate)),
        paragraph(binding(estimate)),
        heading("Hardware that is 10% better"),
        _levers(hardware),
        heading("One decision taken otherwise"),
        _levers(decisions),
        paragraph("A gain is time saved per token and device; below 0 the change costs time."),
    ]
    return Group(*parts)


def refused(asked: str, reason: str) -> str:
    """Why not a way that the framework does not allow."""
    return f"Why not {asked}? It cannot run: {reason}."


def otherwise(
    asked: str,
    sides: Sequence[Side],
    time: Sequence[DifferingPart],
    memory: Sequence[DifferingPart],
    *,
    taken: Plan | None = None,
) -> str:
    """Why not a way that can run; `sides`: the explained plan, and the other. `taken`: the plan
    that was found for what was asked."""
    first, other = sides
    said = f"{verdict(first, other)} {reasons(time, memory, 1)}"
    if not other.estimate.memory.fits:
        needs = memory_constraint(other.estimate.memory)
        said = f"It does not fit: {needs}. {said}"
    best = "At its best it is" if other.estimate.memory.fits else "What comes closest to fitting is"
    found = "" if taken is None else f" {best} {all_decisions(taken)}."
    return f"Why not {asked}?{found} {said}"


def _levers(levers: Sequence[Lever]) -> Table:
    table = numbers_table(4)
    scale = time_scale(max((lever.step_s for lever in levers), default=1.0))
    table.add_column("change", overflow="fold")
    table.add_column("gain", justify="right", no_wrap=True)
    table.add_column(f"step {scale.unit}", justify="right", no_wrap=True)
    table.add_column("fits", no_wrap=True)
    for lever in levers:
        gain = percent(lever.gain)
        table.add_row(lever.name, gain, scale.number(lever.step_s), "yes" if lever.fits else "no")
    return table
