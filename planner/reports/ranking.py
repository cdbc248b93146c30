"""The table of ranked plans: what differs gets a column, what all share is said once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from planner.reports.layout import MANY_COLUMNS, numbers_table
from planner.reports.ranking_columns import AXES, CHOICES, FIGURES, NODES, TIGHT, Decision, Units
from planner.wording.units import percent, time_scale

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

    from planner.plan import Plan, RankedPlan
    from planner.reports.families import RankedRow


TIED = "="
ALWAYS = ("t", "p", "d", "mb")
"""Headers of the decisions that every table has."""
WIDE = 1000
"""Columns in which any table has room, to measure it."""


def varying(plans: Sequence[Plan]) -> tuple[Decision, ...]:
    """The decisions that get a column: t p d and the micro-batch always, others when the plans
    differ in them."""
    return tuple(
        decision
        for decision in (*AXES, NODES, *CHOICES)
        if decision.header in ALWAYS or len({decision.show(p) for p in plans}) > 1
    )


def shared(plans: Sequence[Plan]) -> str:
    """What all the plans have in common and the table therefore leaves out."""
    columns = varying(plans)
    said = [
        f"{decision.name} {(decision.say or decision.show)(plans[0])}"
        for decision in (*AXES, NODES, *CHOICES)
        if decision.told and decision not in columns and decision.show(plans[0]) != decision.quiet
    ]
    return f"All: {', '.join(said)}." if said else ""


def legend(plans: Sequence[Plan]) -> str:
    """What the letters above the columns stand for."""
    columns = varying(plans)
    axes = [f"{axis.header} {axis.name}" for axis in AXES if axis in columns]
    chunks = "; ×n virtual stages (VPP)" if any(plan.virtual_stages > 1 for plan in plans) else ""
    return f"Degrees: {', '.join(axes)}; mb micro-batch size{chunks}.".replace(" degree", "")


def marks(plans: Sequence[RankedPlan], tied_within: float) -> list[str]:
    """What the marks in the table stand for, a line each, when it has any."""
    said = []
    if any(_is_tied(ranked) for ranked in plans):
        said.append(
            f"{TIED} tied with plan 1: up to {percent(tied_within)} slower, too close to tell."
        )
    if any(ranked.estimate.fit_class == "tight" for ranked in plans):
        said.append(f"{TIGHT} tight: the peak's range reaches into the headroom or beyond.")
    return said


def _is_tied(ranked: RankedPlan) -> bool:
    return ranked.rank > 1 and bool(ranked.tied_with_best)


class RankingTable:
    """The ranked plans at any width: where it is narrow the headers and words are brief, then
    columns are left out, the figures that follow from others first, and a line names them."""

    def __init__(self, rows: Sequence[RankedRow]) -> None:
        self._rows = rows
        self._decisions = varying([row.ranked.plan for row in rows])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for shape in self._shapes():
            table = self._table(shape)
            if console.measure(table, options=options.update(width=WIDE)).maximum <= (
                options.max_width
            ):
                break
        yield table
        if shape.left_out:
            names = ", ".join(shape.left_out)
            yield Text(f"Left out for want of room: {names}.", style="dim")

    def _shapes(self) -> Iterator[Shape]:
        """From all of it to the least that says anything."""
        columns = len(self._decisions) + len(FIGURES) + 1
        if columns <= MANY_COLUMNS:
            yield Shape(crowded=False)
        yield Shape(crowded=True)
        spare = [figure.name for figure in reversed(FIGURES) if figure.spare]
        spare += [one.name for one in reversed(self._decisions) if one.header not in ALWAYS]
        for number in range(1, len(spare) + 1):
            yield Shape(crowded=True, left_out=tuple(spare[:number]))

    def _table(self, shape: Shape) -> Table:
        plans = [row.ranked for row in self._rows]
        folding = any(row.variants for row in self._rows)
        decisions = [one for one in self._decisions if one.name not in shape.left_out]
        figures = [one for one in FIGURES if one.name not in shape.left_out]
        scale = time_scale(max(ranked.estimate.step_s for ranked in plans))
        capacities = {ranked.estimate.memory.binding.capacity_bytes for ranked in plans}
        one_capacity = capacities.pop() if len(capacities) == 1 else None
        units = Units(scale=scale, capacity_bytes=one_capacity)

        table = numbers_table(MANY_COLUMNS + 1 if shape.crowded else 1)
        table.add_column("#", justify="right", no_wrap=True)
        if folding:
            table.add_column("", no_wrap=True)
        for decision in decisions:
            justify: Literal["left", "right"] = "right" if decision.number else "left"
            header = decision.column(crowded=shape.crowded)
            table.add_column(header, justify=justify, no_wrap=True)
        for figure in figures:
            table.add_column(figure.header(units), justify="right", no_wrap=True)
        for row in self._rows:
            ranked = row.ranked
            table.add_row(
                f"{TIED if _is_tied(ranked) else ''}{ranked.rank}",
                *([f"+{row.variants}" if row.variants else ""] if folding else []),
                *(Text(one.cell(ranked.plan, crowded=shape.crowded)) for one in decisions),
                *(figure.cell(ranked.estimate, units) for figure in figures),
                style="bold" if ranked.rank == 1 else "",
            )
        return table


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a ranking is set: with brief words, without the columns of those names."""

    crowded: bool
    left_out: tuple[str, ...] = ()
