"""Where the time of a step goes: a bar for the best plan of every family of plans."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from planner.plan import TimeBreakdown
from planner.reports.families import family_key
from planner.reports.page.bars import Part, legend, share_label, stacked
from planner.reports.page.html import Html, element, join
from planner.reports.page.palette import CAUSES
from planner.reports.page.parts import note, same_as_table, section, table
from planner.wording.labels import TIME_LABELS, degrees
from planner.wording.units import percent, time_scale

if TYPE_CHECKING:
    from planner.plan import RankedPlan
    from planner.reports.page.content import PageContent

FAMILIES = 10
"""Bars of plans; the user's own comes on top of them."""
COMPUTE = "compute"


def time(content: PageContent) -> Html | None:
    """None for a document without plans."""
    if not content.answer.plans:
        return None
    bars = families(content)
    used = [
        one.name.removesuffix("_s")
        for one in fields(TimeBreakdown)
        if any(getattr(ranked.estimate.time, one.name) for _, ranked in bars)
    ]
    labels = {name: TIME_LABELS[f"{name}_s"] for name in CAUSES}
    text = "The best plan of each family of degrees and schedule." if len(bars) > 1 else ""
    return section(
        "time",
        "Where the time goes",
        note(text) if text else None,
        legend(CAUSES, labels, used),
        _bars(bars, without=()),
        element("h3", "Without compute"),
        _bars(bars, without=(COMPUTE,)),
        same_as_table(_table(bars, used)),
    )


def families(content: PageContent) -> list[tuple[str, RankedPlan]]:
    """The best plan of every family (degrees and kind of schedule), and the user's own."""
    seen: set[tuple[object, ...]] = set()
    chosen: list[tuple[str, RankedPlan]] = []
    for name, ranked in content.shown:
        family = family_key(ranked)
        if name == "mine" or (family not in seen and len(chosen) < FAMILIES):
            chosen.append((name, ranked))
        seen.add(family)
    return chosen


def label(name: str, ranked: RankedPlan) -> str:
    """`1 t4 p8 d32`: a plan in front of a bar."""
    return f"{name if name == 'mine' else f'#{name}'} {degrees(ranked.plan.degrees)}"


def _bars(bars: list[tuple[str, RankedPlan]], *, without: tuple[str, ...]) -> Html:
    names = [name for name in CAUSES if name not in without]
    sums = [sum(_seconds(ranked, name) for name in names) for _, ranked in bars]
    whole, scale = max(sums), time_scale(max(sums))
    rows = []
    for (name, ranked), total in zip(bars, sums, strict=True):
        step_s = ranked.estimate.step_s
        parts = [
            Part(
                colour=cause,
                size=_seconds(ranked, cause),
                title=f"{TIME_LABELS[f'{cause}_s']}: {scale.text(_seconds(ranked, cause))}, "
                f"{percent(_seconds(ranked, cause) / step_s)} of the step",
                label=share_label(_seconds(ranked, cause) / step_s),
            )
            for cause in names
        ]
        rows.append(
            element(
                "li",
                element("span", label(name, ranked), class_="what"),
                stacked(parts, whole),
                element("span", scale.text(total), class_="total"),
                class_="mine" if name == "mine" else None,
            )
        )
    return element("ul", *rows, class_="bars")


def _table(bars: list[tuple[str, RankedPlan]], used: list[str]) -> Html:
    scale = time_scale(max(ranked.estimate.step_s for _, ranked in bars))
    return table(
        f"Exposed time of one step, {scale.unit}",
        ["plan", *(TIME_LABELS[f"{name}_s"] for name in used), "step"],
        [
            (
                join(label(name, ranked)),
                *(scale.number(_seconds(ranked, one)) for one in used),
                scale.number(ranked.estimate.step_s),
            )
            for name, ranked in bars
        ],
    )


def _seconds(ranked: RankedPlan, cause: str) -> float:
    value: float = getattr(ranked.estimate.time, f"{cause}_s")
    return value
