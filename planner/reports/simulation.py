"""The report of simulated months: how many spare nodes, and what each number of them gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from planner.replan.option import CHANGE_BATCH
from planner.reports.layout import MANY_COLUMNS, FirstThatFits, heading, numbers_table, paragraph
from planner.wording.units import count, duration, large, percent, plural

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from planner.resilience.months import SimulatedMonths


def simulation_report(found: SimulatedMonths) -> RenderableType:
    """The answer first."""
    without = found.outcomes[0]
    lives = "1 life was" if found.seeds == 1 else f"{count(found.seeds)} lives were"
    return Group(
        paragraph(_answer(found), style="bold"),
        paragraph(
            f"{plural(found.nodes, 'node')}, each fails every {duration(found.node_mtbf_s)}: "
            f"{without.failures:.1f} failures in {plural(round(found.days), 'day')}, "
            f"{found.nodes_away:.2g} nodes are away on average. {lives} simulated."
        ),
        paragraph(_left(found)),
        heading("Spare nodes"),
        _table(found),
        paragraph(
            "Goodput: progress over that of a job that never fails; long run: its closed form. "
            "Plan, fewer, stopped: shares of time with the plan, one on fewer nodes, none. "
            "Per node: goodput over all nodes that are there, relative to no spares.",
            style="dim",
        ),
    )


def _answer(found: SimulatedMonths) -> str:
    best = found.best
    said = (
        f"goodput {percent(best.goodput)}, {large(best.tokens_per_day)} tokens a day, "
        f"the plan runs {percent(best.full)} of the time"
    )
    if found.outcomes[-1].spares == 0:
        return f"Without spare nodes: {said}."
    if not best.spares:
        return f"No spare node is worth its place: {said}."
    return f"{plural(best.spares, 'spare node')}: {said}."


def _left(found: SimulatedMonths) -> str:
    """What the job does when no spare is left."""
    if not found.fewer:
        return "Without a spare the job waits: no plan on fewer nodes was found."
    most, fewest = found.fewer[-1], found.fewer[0].nodes
    how = "with fewer replicas" if most.way == "drop-batch" else "with another plan"
    if most.way in CHANGE_BATCH:
        how += f" and a global batch of {count(most.global_batch_size)}"
    if most.prepare_s:
        how += f", for which the checkpoint is prepared ({duration(most.prepare_s)})"
    return (
        f"Without a spare the job goes on with fewer nodes: at {percent(most.rate)} of its speed "
        f"on {count(most.nodes)}, {how}. With fewer than {count(fewest)} the simulation lets it "
        "wait."
    )


def _table(found: SimulatedMonths) -> RenderableType:
    return FirstThatFits(_columns(found, narrow=False), _columns(found, narrow=True))


def _columns(found: SimulatedMonths, *, narrow: bool) -> Table:
    """`narrow`: columns close together."""
    table = numbers_table(MANY_COLUMNS + 1 if narrow else 1)
    for name in (
        *("spares", "goodput", "90% of\nlives", "long\nrun", "plan", "fewer", "stopped"),
        "per\nnode",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.outcomes:
        table.add_row(
            count(one.spares),
            percent(one.goodput),
            f"{percent(one.goodput_low).removesuffix('%')}-{percent(one.goodput_high)}",
            percent(one.lasting),
            percent(one.full),
            percent(one.shrunk),
            percent(one.stopped),
            f"{one.for_each_node:.4f}",
        )
    return table
