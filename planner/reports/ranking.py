"""The table of ranked plans: what differs gets a column, what all share is said once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from planner.reports.layout import MANY_COLUMNS, numbers_table
from planner.wording import labels
from planner.wording.units import capacity, count, gib, percent, time_scale

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table

    from planner.plan import Plan, RankedPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One thing a plan decides: its column header, its name in prose, how a plan shows it.
    `quiet` is the value that nobody needs to be told about; a crowded table takes the `brief`
    header and shortens the words in `shorter`."""

    header: str
    name: str
    show: Callable[[Plan], str]
    quiet: str | None = None
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
        name=f"{axis.replace('_', ' ')} degree",
        show=lambda plan: str(getattr(plan.degrees, axis)),
        quiet=quiet,
    )


AXES = tuple(_axis(axis, letter) for axis, letter in labels.AXIS_LETTERS.items())
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
        show=labels.recompute,
        number=False,
        brief="recomp",
        shorter=(("selective", "select"),),
    ),
    Decision(
        header="sharding",
        name="data sharding",
        show=lambda plan: plan.data_sharding,
        number=False,
        brief="shard",
        shorter=(("optimizer", "opt"), ("gradients", "grad")),
    ),
    Decision(
        header="seq-par",
        name="sequence parallel",
        show=lambda plan: labels.on_off(plan.sequence_parallel),
        number=False,
        brief="sp",
    ),
)

TIED, TIGHT = "=", "!"
FIGURES = ("step\n{unit}", "tok/s/\ndevice", "MFU", "peak GiB\n{of}")


def varying(plans: Sequence[Plan]) -> tuple[Decision, ...]:
    """The decisions that get a column: t p d and the micro-batch always, others when the plans
    differ in them."""
    return tuple(
        decision
        for decision in (*AXES, *CHOICES)
        if decision.header in ("t", "p", "d", "mb") or len({decision.show(p) for p in plans}) > 1
    )


def shared(plans: Sequence[Plan]) -> str:
    """What all the plans have in common and the table therefore leaves out."""
    columns = varying(plans)
    said = [
        f"{decision.name} {decision.show(plans[0])}"
        for decision in (*AXES, *CHOICES)
        if decision not in columns and decision.show(plans[0]) != decision.quiet
    ]
    return f"All: {', '.join(said)}." if said else ""


def legend(plans: Sequence[Plan]) -> str:
    """What the letters above the columns stand for."""
    columns = varying(plans)
    axes = [f"{axis.header} {axis.name}" for axis in AXES if axis in columns]
    return f"{', '.join(axes)}; mb micro-batch size.".replace(" degree,", ",")


def marks(plans: Sequence[RankedPlan], tied_within: float) -> list[str]:
    """What the marks in the table stand for, a line each, when it has any."""
    said = []
    if any(_is_tied(ranked) for ranked in plans):
        said.append(
            f"{TIED} tied with plan 1: less than {percent(tied_within)} slower, too close to tell."
        )
    if any(ranked.estimate.fit_class == "tight" for ranked in plans):
        said.append(f"{TIGHT} tight: the range of the peak reaches into the headroom or beyond.")
    return said


def _is_tied(ranked: RankedPlan) -> bool:
    return ranked.rank > 1 and bool(ranked.tied_with_best)


def ranking_table(plans: Sequence[RankedPlan]) -> Table:
    decisions = varying([ranked.plan for ranked in plans])
    crowded = len(decisions) + len(FIGURES) + 1 > MANY_COLUMNS
    table = numbers_table(len(decisions) + len(FIGURES) + 1)
    scale = time_scale(max(ranked.estimate.step_s for ranked in plans))
    capacities = {ranked.estimate.memory.binding.capacity_bytes for ranked in plans}
    one_capacity = capacities.pop() if len(capacities) == 1 else None

    table.add_column("#", justify="right", no_wrap=True)
    for decision in decisions:
        table.add_column(
            decision.column(crowded=crowded),
            justify="right" if decision.number else "left",
            no_wrap=decision.number,
            overflow="fold",
        )
    of = f"of {capacity(one_capacity)}" if one_capacity is not None else "of"
    for header in FIGURES:
        text = header.format(unit=scale.unit, of=of)
        table.add_column(text, justify="right", no_wrap=True)

    for ranked in plans:
        estimate, binding = ranked.estimate, ranked.estimate.memory.binding
        used = gib(binding.peak_bytes)
        if one_capacity is None:
            used += f"/{capacity(binding.capacity_bytes)}"
        if estimate.fit_class == "tight":
            used = f"{TIGHT}{used}"
        table.add_row(
            f"{TIED if _is_tied(ranked) else ''}{ranked.rank}",
            *(Text(decision.cell(ranked.plan, crowded=crowded)) for decision in decisions),
            scale.number(estimate.step_s),
            count(estimate.tokens_per_s_per_device),
            percent(estimate.mfu),
            used,
            style="bold" if ranked.rank == 1 else "",
        )
    return table
