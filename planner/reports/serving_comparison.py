"""The report of `planner compare` for serving plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from planner.comparison.serving import figures_of, pool_differences
from planner.reports.comparison import LETTERS
from planner.reports.layout import bullets, heading, numbers_table, paragraph
from planner.wording.units import count, percent, three_digits, time_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from planner.comparison.serving import ServedFigure, ServedSide

_LABELS = {
    "output_tokens_per_s": "output tokens per second",
    "output_tokens_per_s_per_device": "… of a device",
    "requests_per_s": "requests per second",
    "ttft_mean_s": "first token (TTFT)",
    "ttft_p99_s": "… p99",
    "tpot_mean_s": "each further token (TPOT)",
    "tpot_p99_s": "… p99",
    "devices": "devices",
    "price_per_million_tokens": "price of a million output tokens",
    "joules_per_token": "joules of an output token",
}


def serving_comparison_report(sides: Sequence[ServedSide]) -> RenderableType:
    """Verdicts, what the plans are, what differs, and what they do."""
    letters = LETTERS[: len(sides)]
    figures = figures_of(sides)
    parts: list[RenderableType] = [
        *(
            paragraph(throughput_verdict(figures, (letters[0], letters[at]), at), style="bold")
            for at in range(1, len(sides))
        ),
        heading("Plans"),
        bullets(
            f"{letter} {side.name}: {side.model} on {side.cluster}, {side.offer.plan.engine}"
            for letter, side in zip(letters, sides, strict=True)
        ),
    ]
    differing = pool_differences(sides)
    parts.append(heading("What differs"))
    if differing:
        table = _table(letters)
        for one in differing:
            table.add_row(Text(one.name), *(Text(value or "–") for value in one.values))
        parts.append(table)
    else:
        parts.append(paragraph("Nothing."))
    shown = [one for one in figures if any(value is not None for value in one.values)]
    table = _table(letters)
    for figure in shown:
        table.add_row(Text(_LABELS[figure.name]), *map(Text, _texts(figure)))
    parts += [heading("What they do"), table]
    missed = [
        f"{letter} {one}"
        for letter, side in zip(letters, sides, strict=True)
        for one in side.offer.missed
    ]
    if missed:
        parts += [heading("Limits that are missed"), bullets(missed)]
    return Group(*parts)


def _table(letters: str) -> Table:
    table = numbers_table(1 + len(letters))
    table.add_column("", overflow="fold")
    for letter in letters:
        table.add_column(letter, justify="right", overflow="fold")
    return table


def _texts(figure: ServedFigure) -> list[str]:
    if figure.name == "devices":
        return [count(round(value or 0)) for value in figure.values]
    if figure.name.endswith("_s") and figure.name.startswith(("ttft", "tpot")):
        return ["–" if value is None else _time(value) for value in figure.values]
    return ["–" if value is None else three_digits(value) for value in figure.values]


def _time(seconds: float) -> str:
    scale = time_scale(seconds)
    return f"{scale.number(seconds)} {scale.unit}"


def throughput_verdict(figures: Sequence[ServedFigure], names: tuple[str, str], at: int) -> str:
    """`B has 12.0% more output tokens per second than A, on 8 devices in place of 16.` `names`: of
    the first plan and of plan `at`."""
    known = {one.name: one for one in figures}
    change = known["output_tokens_per_s"].change(at) or 0.0
    more = (
        f"{percent(abs(change))} {'more' if change > 0 else 'fewer'} output tokens per second than"
    )
    said = f"{names[1]} has {more} {names[0]}"
    if abs(change) < 5e-4:
        said = f"{names[1]} has as many output tokens per second as {names[0]}"
    first, other = (round(known["devices"].values[one] or 0) for one in (0, at))
    where = "as many devices" if first == other else f"{other:,} devices in place of {first:,}"
    return f"{said}, on {where}."
