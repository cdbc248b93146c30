"""The table of ranked plans: what differs gets a column, what all share is said once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from planner.reports.layout import MANY_COLUMNS, numbers_table
from planner.wording import labels
from planner.wording.units import capacity, count, gib, percent, time_scale

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

    from planner.plan import Estimate, Plan, RankedPlan
    from planner.reports.families import RankedRow
    from planner.wording.units import TimeScale


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One thing a plan decides: its column header, its name in prose, how a cell and how a sentence
    shows it (`say`, where that differs). `quiet` is the value that nobody needs to be told about;
    without `told` no value is, as the report says it elsewhere. A crowded table takes the `brief`
    header and shortens the words in `shorter`."""

    header: str
    name: str
    show: Callable[[Plan], str]
    say: Callable[[Plan], str] | None = None
    quiet: str | None = None
    told: bool = True
    number: bool = True
    brief: str = ""
    shorter: tuple[tuple[str, str], ...] = ()

    def column(self, *, crowded: bool) -> str:
        return self.brief if crowded and self.brief else self.header

    def cell(self, plan: Plan, *, crowded: bool) -> str:
        text = self.show(plan)
        for word, short in self.shorter if crowded else ():
            text = text.replace(word, short)
        return text


def _axis(axis: str, letter: str) -> Decision:
    quiet = None if axis in labels.ALWAYS_NAMED else "1"
    return Decision(
        header=letter,
        name=f"{axis.replace('_', ' ')} degree ({labels.AXIS_ABBREVIATIONS[axis]})",
        show=lambda plan: str(getattr(plan.degrees, axis)),
        quiet=quiet,
    )


AXES = tuple(_axis(axis, letter) for axis, letter in labels.AXIS_LETTERS.items())
NO_DISPATCHER = "-"
"""Shown of a plan without an expert degree."""
CHOICES = (
    Decision(header="mb", name="micro-batch", show=lambda plan: str(plan.micro_batch_size)),
    Decision(
        header="schedule",
        name="schedule",
        show=labels.schedule,
        number=False,
        brief="sched",
        shorter=(("interleaved", "inter"),),
    ),
    Decision(
        header="recompute",
        name="recompute",
        show=labels.recompute_kind,
        say=labels.recompute,
        number=False,
        brief="recomp",
        shorter=(("selective", "select"),),
    ),
    Decision(
        header="dispatcher",
        name="dispatcher of experts",
        show=lambda plan: plan.dispatcher or NO_DISPATCHER,
        quiet=NO_DISPATCHER,
        number=False,
        brief="disp",
    ),
    Decision(
        header="ep-overlap",
        name="exchanges of experts beside another microbatch",
        show=lambda plan: labels.on_off(plan.expert_overlap),
        quiet="off",
        number=False,
        brief="ep-ov",
    ),
    Decision(
        header="sharding",
        name="data sharding",
        show=lambda plan: (
            plan.data_sharding + (f"/{plan.shard_over}" if plan.shard_over is not None else "")
        ),
        say=labels.data_sharding,
        number=False,
        brief="shard",
        shorter=(("optimizer", "opt"), ("gradients", "grad")),
    ),
    Decision(
        header="offload",
        name="offloaded",
        show=labels.offloaded_kinds,
        say=labels.offloading,
        quiet="none",
        number=False,
        shorter=(("of the optimizer", "opt"), ("optimizer", "opt")),
    ),
    Decision(
        header="seq-par",
        name="sequence parallel",
        show=lambda plan: labels.on_off(plan.sequence_parallel),
        number=False,
        brief="sp",
    ),
)

NODES = Decision(
    header="nodes",
    name="nodes",
    show=lambda plan: count(len(plan.placement.hosts)),
    told=False,
)

TIED, TIGHT = "=", "!"
ALWAYS = ("t", "p", "d", "mb")
"""Headers of the decisions that every table has."""
WIDE = 1000
"""Columns in which any table has room, to measure it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """Of a table's figures. `capacity_bytes` where all plans run on the same memory."""

    scale: TimeScale
    capacity_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing that an estimate says; `spare`: it follows from the others."""

    name: str
    header: Callable[[Units], str]
    cell: Callable[[Estimate, Units], str]
    spare: bool = False


def _peak_header(units: Units) -> str:
    of = units.capacity_bytes
    return f"peak GiB\nof {capacity(of)}" if of is not None else "peak GiB\nof"


def _peak(estimate: Estimate, units: Units) -> str:
    binding = estimate.memory.binding
    used = gib(binding.peak_bytes)
    if units.capacity_bytes is None:
        used += f"/{capacity(binding.capacity_bytes)}"
    return f"{TIGHT}{used}" if estimate.fit_class == "tight" else used


FIGURES = (
    Figure(
        name="step",
        header=lambda units: f"step\n{units.scale.unit}",
        cell=lambda estimate, units: units.scale.number(estimate.step_s),
    ),
    Figure(
        name="tokens/s per device",
        header=lambda _: "tok/s/\ndevice",
        cell=lambda estimate, _: count(estimate.tokens_per_s_per_device),
        spare=True,
    ),
    Figure(
        name="MFU",
        header=lambda _: "MFU",
        cell=lambda estimate, _: percent(estimate.mfu),
        spare=True,
    ),
    Figure(name="peak memory", header=_peak_header, cell=_peak),
)


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
