"""The report of `planner compare`: what differs, and what each difference costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from planner.reports.layout import bullets, heading, numbers_table, paragraph
from planner.reports.sentences import MEMORY_LABELS, SMALL_SHARE
from planner.training.confidence.interval import tie_margin
from planner.wording.labels import TIME_LABELS
from planner.wording.units import GIB, capacity, gib, percent, seconds, time_scale

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from planner.comparison.checkpoints import Loading
    from planner.comparison.decisions import Decided
    from planner.comparison.parts import DifferingPart
    from planner.comparison.side import Side

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SMALLEST_GIB = 0.05
"""What reads as 0.1 GiB; smaller changes are none."""
VERDICTS = {
    "loads": "loads as it is",
    "prepared": "loads after preparation",
    "does not load": "does not load",
    "unknown": "may not load",
}


def comparison_report(
    sides: Sequence[Side],
    *,
    decisions: Sequence[Decided],
    time: Sequence[DifferingPart],
    memory: Sequence[DifferingPart],
    checkpoints: Sequence[Loading],
    flags: Sequence[tuple[str, str | None]],
) -> RenderableType:
    """`flags`: of each plan after the first, a unified diff and why there is none."""
    letters = LETTERS[: len(sides)]
    parts: list[RenderableType] = [
        *(paragraph(verdict(sides[0], other), style="bold") for other in sides[1:]),
        *(paragraph(reasons(time, memory, of)) for of in range(1, len(sides))),
        heading("Plans"),
        bullets(
            f"{letter} {_described(side)}" for letter, side in zip(letters, sides, strict=True)
        ),
        heading("What differs"),
        _decided(letters, decisions) if decisions else paragraph("Nothing."),
        heading("Time of one step"),
        _times(letters, time),
        heading("Memory of the fullest stage, GiB"),
        _memory(letters, memory),
        heading("Going on from a checkpoint of A"),
        bullets(
            f"{letter}: {VERDICTS[one.verdict]}: {one.reason}"
            for letter, one in zip(letters[1:], checkpoints, strict=True)
        ),
    ]
    for letter, (diff, problem) in zip(letters[1:], flags, strict=True):
        parts.append(heading(f"Launch arguments, from A to {letter}"))
        parts.append(Text(f"Not shown: {problem}." if problem else diff or "The same."))
    return Group(*parts)


def verdict(first: Side, other: Side) -> str:
    """`best takes 1.3% less time than train.sh: 18.93 s instead of 19.18 s per step.`"""
    one, two = first.estimate, other.estimate
    ratio = one.tokens_per_s_per_device / two.tokens_per_s_per_device
    figures = f"{seconds(two.step_s)} instead of {seconds(one.step_s)} per step"
    if one.tokens_per_step != two.tokens_per_step or one.devices != two.devices:
        figures += ", counted per token and device"
    same = f"{other.name} and {first.name} are equally fast: {figures}."
    if round(ratio, 4) == 1:
        return same
    how = "less" if ratio < 1 else "more"
    text = f"{other.name} takes {percent(abs(ratio - 1))} {how} time than {first.name}: {figures}"
    if max(ratio, 1 / ratio) - 1 <= tie_margin():
        text += f" (up to {percent(tie_margin())} is too close to tell)"
    return f"{text}."


def reasons(time: Sequence[DifferingPart], memory: Sequence[DifferingPart], of: int) -> str:
    """The largest changes of plan `of` against the first, in two sentences."""
    scale = time_scale(max(part.largest_change for part in time) or 1.0)
    step = _changes(time, of, TIME_LABELS, lambda change: scale.text(change))
    more = sum(part.change(of) for part in memory)
    if abs(more) < SMALLEST_GIB * GIB:
        return f"Time: {step or 'no part changes'}. Memory of the fullest stage: the same."
    peak = _changes(memory, of, MEMORY_LABELS, lambda change: f"{change / GIB:.1f} GiB")
    how = "less" if more < 0 else "more"
    return (
        f"Time: {step or 'no part changes'}. Memory of the fullest stage: "
        f"{abs(more) / GIB:.1f} GiB {how}{f' ({peak})' if peak else ''}."
    )


def _changes(
    parts: Sequence[DifferingPart], of: int, names: dict[str, str], show: Callable[[float], str]
) -> str:
    """Those that matter, first what goes the way of the total."""
    largest = max(abs(part.change(of)) for part in parts)
    worth = [part for part in parts if abs(part.change(of)) >= max(SMALL_SHARE * largest, 1e-9)]
    worth.sort(key=lambda part: part.change(of), reverse=sum(p.change(of) for p in parts) > 0)
    return ", ".join(
        f"{names[part.name]} {'+' if part.change(of) > 0 else '-'}{show(abs(part.change(of)))}"
        for part in worth
    )


def _described(side: Side) -> str:
    binding = side.estimate.memory.binding
    fits = {"fits": "fits", "tight": "a tight fit", "does not fit": "does not fit"}
    how = fits[side.estimate.fit_class]
    if side.estimate.fit_class == "tight" and not side.estimate.memory.fits:
        how = "does not fit, by less than the error"
    return (
        f"{side.name}: {seconds(side.estimate.step_s)}/step, MFU {percent(side.estimate.mfu)}, "
        f"peak {gib(binding.peak_bytes)} of {capacity(binding.capacity_bytes)} GiB ({how})"
    )


def _table(letters: str, first: str, *, numbers: bool) -> Table:
    table = numbers_table(1 + len(letters))
    table.add_column(first, no_wrap=True)
    for letter in letters:
        table.add_column(letter, justify="right" if numbers else "left", overflow="fold")
    return table


def _decided(letters: str, decisions: Sequence[Decided]) -> Table:
    table = _table(letters, "", numbers=False)
    for one in decisions:
        table.add_row(one.name.replace("_", " "), *map(Text, one.values))
    return table


def _times(letters: str, parts: Sequence[DifferingPart]) -> Table:
    totals = _totals(parts)
    scale = time_scale(max(totals))
    table = _table(letters, f"in {scale.unit}", numbers=True)
    for part in parts:
        table.add_row(TIME_LABELS[part.name], *_cells(part.amounts, scale.number))
    table.add_section()
    table.add_row("step", *_cells(totals, scale.number))
    return table


def _memory(letters: str, parts: Sequence[DifferingPart]) -> Table:
    table = _table(letters, "", numbers=True)
    for part in parts:
        table.add_row(MEMORY_LABELS[part.name], *_cells(part.amounts, _gib))
    table.add_section()
    table.add_row("peak", *_cells(_totals(parts), _gib))
    return table


def _gib(size_bytes: float) -> str:
    return f"{size_bytes / GIB:,.1f}"


def _totals(parts: Sequence[DifferingPart]) -> list[float]:
    return [sum(amounts) for amounts in zip(*(part.amounts for part in parts), strict=True)]


def _cells(amounts: Sequence[float], show: Callable[[float], str]) -> Iterator[str]:
    """The first amount, and every other with its difference to the first."""
    first = amounts[0]
    yield show(first)
    for amount in amounts[1:]:
        change = amount - first
        text = show(abs(change))
        zero = not text.strip("0.,")
        yield show(amount) if zero else f"{show(amount)} ({'+' if change > 0 else '-'}{text})"
