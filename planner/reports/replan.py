"""The report of `planner replan`: every way to go on, and what each takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from planner.replan.option import CHANGE_BATCH
from planner.reports.comparison import VERDICTS
from planner.reports.layout import (
    MANY_COLUMNS,
    FirstThatFits,
    bullets,
    heading,
    numbers_table,
    paragraph,
)
from planner.specs.cluster.hostlist import compress_hosts
from planner.wording.labels import one_line
from planner.wording.units import count, duration, large, percent, plural, time_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from planner.replan.option import Option
    from planner.replan.replan import Replanned

NAMED = 8
"""Most hosts that are listed one by one."""


def replan_report(
    found: Replanned, chosen: Option | None, findings: Sequence[str] = ()
) -> RenderableType:
    """`chosen`: the way that would be exported; `findings`: what health reports say."""
    parts: list[RenderableType] = [
        paragraph(_headline(found, chosen), style="bold"),
        paragraph(_happened(found)),
    ]
    if findings:
        parts += [heading("What the health reports say"), bullets(findings)]
    if found.options:
        parts += [heading("Ways to go on"), _table(found), paragraph(_legend(found), style="dim")]
    details = [f"{one.moved.way}: {_described(one)}" for one in found.options]
    details += [f"{one.way}: not possible, {one.reason}" for one in found.no_ways]
    parts += [heading("What each one does"), bullets(details)]
    if found.options:
        loads = [
            f"{one.moved.way}: {VERDICTS[one.checkpoint.verdict]}: {one.checkpoint.reason}"
            for one in found.options
        ]
        parts += [heading("Going on from the last checkpoint"), bullets(loads)]
    if found.assumptions:
        parts += [heading("Assumptions"), bullets(found.assumptions)]
    return Group(*parts)


def _headline(found: Replanned, chosen: Option | None) -> str:
    if chosen is None:
        return "No plan with the batch of the job fits what is left."
    rate = count(chosen.moved.estimate.tokens_per_s)
    text = (
        f"{chosen.moved.way.capitalize()}: {chosen.moved.what}; {rate} tokens/s, "
        f"{percent(chosen.share)} of before"
    )
    if chosen.break_even_s is not None:
        text += f", better than waiting for a repair of more than {duration(chosen.break_even_s)}"
    return f"{text}."


def _happened(found: Replanned) -> str:
    lost, slow = found.damage.lost, found.damage.slow
    said = []
    if lost:
        named = ", ".join(lost) if len(lost) <= NAMED else compress_hosts(lost)
        said.append(f"{plural(len(lost), 'node')} lost ({named})")
    if slow:
        more = f" and {len(slow) - NAMED} more" if len(slow) > NAMED else ""
        said.append(f"slow: {', '.join(map(str, slow[:NAMED]))}{more}")
    before = count(found.before.tokens_per_s)
    happened = "; ".join(said)
    text = (
        f"{happened[0].upper()}{happened[1:]}. Before: {one_line(found.plan)}, {before} tokens/s."
    )
    if found.waiting is not None and found.left_s is not None and found.repair_s is not None:
        text += (
            f" Waiting {duration(found.repair_s)} for the repair leaves {large(found.waiting)} "
            f"tokens in the {duration(found.left_s)} that are left."
        )
    return text


def _table(found: Replanned) -> FirstThatFits:
    return FirstThatFits(_columns(found, narrow=False), _columns(found, narrow=True))


def _columns(found: Replanned, *, narrow: bool) -> Table:
    """`narrow`: without idle nodes, columns close together."""
    scale = time_scale(max(one.moved.estimate.step_s for one in found.options))
    table = numbers_table(MANY_COLUMNS + 1 if narrow else 1)
    table.add_column("way", no_wrap=True)
    columns = [f"step\n{scale.unit}", "tokens/s", "of\nbefore"]
    columns += [*([] if narrow else ["idle\nnodes"]), "restart\nmin", "break-even\nhours"]
    columns += ["tokens"] if found.left_s is not None else []
    for header in columns:
        table.add_column(header, justify="right", no_wrap=True)
    for one in found.options:
        even_s = one.break_even_s
        cells = [
            one.moved.way,
            scale.number(one.moved.estimate.step_s),
            count(one.moved.estimate.tokens_per_s),
            percent(one.share),
            *([] if narrow else [count(len(one.idle))]),
            f"{one.restart_s / 60:.0f}",
            f"{even_s / 3600:.2f}" if even_s is not None else _without_even(one),
        ]
        if one.tokens is not None:
            cells.append(large(one.tokens))
        table.add_row(*map(Text, cells))
    return table


def _without_even(one: Option) -> str:
    return "-" if one.moved.way == "keep" else "never"


def _legend(found: Replanned) -> str:
    text = "Break-even: going on is better than waiting for a repair that takes longer."
    other = [one.moved.way for one in found.options if one.moved.way in CHANGE_BATCH]
    if other:
        text += f" Another batch is advice: it is exported with --take {other[0]} only."
    return text


def _described(one: Option) -> str:
    return f"{one.moved.what}; {one_line(one.moved.plan)}"
