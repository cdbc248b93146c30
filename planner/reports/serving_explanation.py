"""The report of `planner explain` for serving plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from planner.comparison.serving import figures_of
from planner.explanation.served import hangs_on
from planner.reports.layout import bullets, heading, numbers_table, paragraph
from planner.reports.serving_comparison import throughput_verdict
from planner.reports.serving_search import kinds_text, pool_text, ranges_text
from planner.wording.units import percent, three_digits, time_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from planner.comparison.serving import ServedSide
    from planner.explanation.served import ServedLever
    from planner.serving.forecast import Offer
    from planner.serving.latency import Latency

_SHOWN = 0.01
"""Share of a time from which a part of the hardware is named."""
_REST = "starts of kernels and messages, and waiting"


def serving_explanation_report(
    offer: Offer,
    *,
    mixture: bool,
    hardware: Sequence[ServedLever],
    decisions: Sequence[ServedLever],
    why_not: str | None,
) -> RenderableType:
    """`why_not`: the answer of `served_refused` or `served_otherwise`, where that was asked."""
    found = offer.forecast
    parts: list[RenderableType] = []
    if why_not is not None:
        parts += [paragraph(why_not, style="bold"), paragraph("")]
    said = (
        f"The plan: {kinds_text(offer.plan)}, {three_digits(found.output_tokens_per_s)} output "
        "tokens per second."
    )
    parts += [
        paragraph(said, style="bold"),
        paragraph(ranges_text(offer, mixture=mixture)),
        paragraph(_hangs("TTFT", found.ttft.mean_s, hangs_on(hardware, "ttft"))),
    ]
    if found.tpot is not None:
        parts.append(paragraph(_hangs("TPOT", found.tpot.mean_s, hangs_on(hardware, "tpot"))))
    if offer.missed:
        parts += [heading("Limits of the load that are missed"), bullets(offer.missed)]
    parts += [
        heading("Pools"),
        bullets(map(pool_text, offer.plan.pools)),
        heading("Hardware that is 10% better"),
        _levers(hardware),
        heading("One decision taken otherwise"),
        _levers(decisions),
        paragraph(
            "Changes of the means and of the output tokens per second, with the same requests "
            "under way. limits: whether those of the load are kept."
        ),
    ]
    return Group(*parts)


def served_refused(asked: str, reason: str) -> str:
    """Why not a way that there is no plan for."""
    return f"Why not {asked}? There is no such plan: {reason}."


def served_otherwise(asked: str, sides: Sequence[ServedSide]) -> str:
    """Why not a way that can run; `sides`: the explained plan, and the other."""
    mine, other = (side.offer for side in sides)
    figures = figures_of(sides)
    missed = f" It misses {'; '.join(other.missed)}." if other.missed else ""
    pools = "; ".join(map(pool_text, other.plan.pools))
    verdict = throughput_verdict(figures, ("the plan", "It"), 1)
    times = [_times("TTFT", mine.forecast.ttft, other.forecast.ttft)]
    times.append(_times("TPOT", mine.forecast.tpot, other.forecast.tpot))
    return f"Why not {asked}? At its best it is {pools}. {verdict}{''.join(times)}{missed}"


def _times(name: str, mine: Latency | None, other: Latency | None) -> str:
    """` TPOT is 12 ms in place of 10 ms.`"""
    if mine is None or other is None:
        return ""
    scale = time_scale(max(mine.mean_s, other.mean_s))
    first, second = (scale.number(one.mean_s) for one in (mine, other))
    return f" {name} is {second} in place of {first} {scale.unit}."


def _hangs(name: str, mean_s: float, shares: Sequence[tuple[str, float]]) -> str:
    scale = time_scale(mean_s)
    named = [f"{percent(share)} {part}" for part, share in shares if share >= _SHOWN]
    rest = 1 - sum(share for _, share in shares)
    if rest < 0:
        parts = [part.removeprefix("the ") for part, share in shares if share >= _SHOWN]
        return (
            f"{name} {scale.number(mean_s)} {scale.unit} hangs most on the "
            f"{', then the '.join(parts)}; what shortens it also shortens the wait for other "
            "requests."
        )
    if rest >= _SHOWN:
        named.append(f"{percent(rest)} {_REST}")
    return f"{name} {scale.number(mean_s)} {scale.unit} hangs on: {', '.join(named)}."


def _levers(levers: Sequence[ServedLever]) -> Table:
    table = numbers_table(5)
    table.add_column("change", overflow="fold")
    for header in ("tokens/s", "TPOT", "TTFT"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("limits", no_wrap=True)
    for lever in levers:
        table.add_row(
            Text(lever.name),
            _signed(lever.tokens_per_s),
            "" if lever.tpot is None else _signed(lever.tpot),
            _signed(lever.ttft),
            "missed" if lever.missed else "kept",
        )
    return table


def _signed(change: float) -> str:
    return f"{change:+.1%}"
