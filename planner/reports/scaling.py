"""How a job scales: tokens a second against the number of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from planner.reports.layout import bar, numbers_table
from planner.wording.labels import one_line
from planner.wording.units import count, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from planner.training.search.result import SizedPlan

WIDTH = 16


def scaling_table(sizes: Sequence[SizedPlan]) -> RenderableType:
    """A row for every number of nodes: what the best plan reaches there, how many nodes it uses, or
    why there is none."""
    most = max((one.tokens_per_s or 0.0 for one in sizes), default=0.0) or 1.0
    table = numbers_table(6)
    for name in ("nodes", "used", "step", "tokens/s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("plan", overflow="fold")
    for one in sizes:
        if one.plan is None or one.step_s is None or one.tokens_per_s is None:
            table.add_row(count(one.nodes), "", "", "", "", Text(one.reason or ""))
            continue
        table.add_row(
            count(one.nodes),
            count(len(one.plan.placement.hosts)),
            seconds(one.step_s),
            count(one.tokens_per_s),
            bar(one.tokens_per_s / most, WIDTH),
            Text(one_line(one.plan)),
        )
    return table
