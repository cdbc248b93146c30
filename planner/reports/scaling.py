"""How a job scales: tokens a second against the number of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from planner.reports.layout import Bar, FirstThatFits, numbers_table
from planner.wording.labels import degrees, one_line
from planner.wording.units import count, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from planner.training.search.result import SizedPlan

WIDTH = 16
PLAN_WIDTHS = (60, 28, 20)
"""Columns for the plan, the widest table that the terminal has room for."""


def scaling_table(sizes: Sequence[SizedPlan]) -> RenderableType:
    """A row for every number of nodes: what the best plan reaches there, how many nodes it uses, or
    why there is none."""
    most = max((one.tokens_per_s or 0.0 for one in sizes), default=0.0) or 1.0
    return FirstThatFits(*(_table(sizes, most, width) for width in PLAN_WIDTHS))


def _table(sizes: Sequence[SizedPlan], most: float, width: int) -> Table:
    """`width`: columns for the plan; the narrowest has its degrees alone, and no bar."""
    narrow = width == PLAN_WIDTHS[-1]
    table = numbers_table(6)
    for name in ("nodes", "used", "step", "tokens/s"):
        table.add_column(name, justify="right", no_wrap=True)
    if not narrow:
        table.add_column("", no_wrap=True)
    table.add_column("plan", overflow="fold", max_width=width)
    for one in sizes:
        row: list[RenderableType]
        if one.plan is None or one.step_s is None or one.tokens_per_s is None:
            row = [count(one.nodes), "", "", "", "", Text(one.reason or "")]
        else:
            row = [
                count(one.nodes),
                count(len(one.plan.placement.hosts)),
                seconds(one.step_s),
                count(one.tokens_per_s),
                Bar(one.tokens_per_s / most, WIDTH),
                Text(degrees(one.plan.degrees) if narrow else one_line(one.plan)),
            ]
        table.add_row(*(row if not narrow else [*row[:4], row[5]]))
    return table
