"""The report of `planner size`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from planner.reports.layout import bullets, heading, paragraph
from planner.reports.lifetime import lifetime
from planner.reports.sentences import headline, ranges
from planner.wording.units import count, duration, plural

if TYPE_CHECKING:
    from rich.console import RenderableType

    from planner.plan import Estimate, Plan


def size_report(
    fit: tuple[Plan, Estimate],
    target: tuple[Plan, Estimate] | None,
    within_s: float | None,
    most_nodes: int,
) -> RenderableType:
    """`fit`: the best plan on the fewest devices; `target`: the same within a time."""
    parts: list[RenderableType] = [_answer("It fits on", *fit)]
    parts += [paragraph(text) for text in (ranges(fit[1]), *lifetime(fit[1]))]
    if within_s is not None and target is None:
        text = f"No number of nodes up to {count(most_nodes)} ends it within {duration(within_s)}."
        parts += [heading(text)]
    elif within_s is not None and target is not None:
        parts += [paragraph(""), _answer(f"It ends within {duration(within_s)} on", *target)]
        parts += [paragraph(text) for text in (ranges(target[1]), *lifetime(target[1]))]
    shown = target or fit
    return Group(*parts, heading("Assumptions"), bullets(shown[1].assumptions))


def _answer(start: str, plan: Plan, estimate: Estimate) -> RenderableType:
    nodes = plural(len(plan.placement.hosts), "node")
    devices = plural(plan.degrees.devices, "device")
    return paragraph(
        f"{start} {devices} ({nodes}), without offloading. {headline('Best', plan, estimate)}",
        "bold",
    )
