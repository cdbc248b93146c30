"""Tokens a second against the number of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.reports.page.html import Html, element
from planner.reports.page.parts import note, same_as_table, section, table
from planner.wording.labels import one_line
from planner.wording.units import count, percent, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.reports.page.content import PageContent
    from planner.training.search.result import SizedPlan

WIDTHS = (("wide", 600), ("narrow", 350))
"""The picture is drawn twice, so that text keeps its size on a small screen."""
HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 280, 52, 16, 16, 36
APART = 28
"""Pixels between the labels of two numbers of nodes."""
MARKS = 4
"""Lines of the axis of tokens."""


def scaling(content: PageContent) -> Html | None:
    """None for a document without a search."""
    search = content.answer.search
    if search is None or not content.answer.plans:
        return None
    sizes = search.scaling
    if not sizes:
        return section(
            "scaling",
            "Tokens a second by nodes",
            note(f"Left out: planner search --nodes {_fewest(content)} adds this curve."),
        )
    ran = [one for one in sizes if one.tokens_per_s is not None]
    return section(
        "scaling",
        "Tokens a second by nodes",
        note(
            "The best plan on each number of nodes, the batch as it is. The thin line is what the "
            "most efficient of them would reach everywhere; ✕ has no plan."
        ),
        *(
            element("div", _picture(sizes, width), class_=f"chart {name}", aria_hidden="true")
            for name, width in (WIDTHS if ran else ())
        ),
        *(note(text) for text in cliffs(sizes)),
        same_as_table(_table(sizes)),
    )


def _fewest(content: PageContent) -> str:
    """A range of nodes that ends with those of the plan: 12..16."""
    nodes = len(content.best.plan.placement.hosts)
    return f"{max(1, nodes - max(1, nodes // 4))}..{nodes}"


def cliffs(sizes: Sequence[SizedPlan]) -> list[str]:
    """Where more nodes bring less, in words."""
    said = []
    before: SizedPlan | None = None
    for one in sizes:
        if one.tokens_per_s is None:
            continue
        reached = 0.0 if before is None else before.tokens_per_s or 0.0
        if before is not None and one.tokens_per_s < reached:
            less = 1 - one.tokens_per_s / reached
            said.append(f"{one.nodes} nodes are slower than {before.nodes}, by {percent(less)}.")
        else:
            before = one
    return said


@dataclass(frozen=True, slots=True)
class _Axes:
    """From nodes and tokens a second to pixels."""

    width: int
    nodes: int
    tokens_per_s: float

    def x(self, nodes: float) -> float:
        return round(LEFT + (self.width - LEFT - RIGHT) * nodes / self.nodes, 1)

    def y(self, tokens_per_s: float) -> float:
        room = HEIGHT - TOP - BOTTOM
        return round(TOP + room * (1 - tokens_per_s / self.tokens_per_s), 1)


def _picture(sizes: Sequence[SizedPlan], width: int) -> Html:
    ran = [(one.nodes, one.tokens_per_s) for one in sizes if one.tokens_per_s is not None]
    each = max(tokens / nodes for nodes, tokens in ran)
    most = max(one.nodes for one in sizes)
    axes = _Axes(width=width, nodes=most, tokens_per_s=1.08 * max(each * most, 1.0))
    parts = [
        _line(axes.x(0), axes.y(0), axes.x(most), axes.y(each * most), "ideal"),
        *_scale(axes),
        element(
            "path",
            d="M" + "L".join(f"{axes.x(nodes):g} {axes.y(tokens):g}" for nodes, tokens in ran),
            class_="curve",
        ),
    ]
    for one in sizes:
        x = axes.x(one.nodes)
        if one.tokens_per_s is None:
            parts.append(_text("✕", x, axes.y(0) - 6, "none"))
        else:
            y = axes.y(one.tokens_per_s)
            parts.append(element("circle", cx=x, cy=y, r=4, class_="point"))
    last = 2.0 * width
    for one in reversed(sizes):
        x = axes.x(one.nodes)
        if last - x >= APART:
            parts.append(_text(str(one.nodes), x, HEIGHT - BOTTOM + 18, "middle"))
            last = x
    parts.append(_text("nodes", width - RIGHT, HEIGHT - 4, "end"))
    return element("svg", *parts, viewBox=f"0 0 {width} {HEIGHT}", width=width, height=HEIGHT)


def _scale(axes: _Axes) -> list[Html]:
    step = _round_step(axes.tokens_per_s / MARKS)
    parts = []
    tokens = 0.0
    while tokens <= axes.tokens_per_s:
        y = axes.y(tokens)
        parts.append(_line(LEFT, y, axes.width - RIGHT, y, "grid"))
        said = f"{tokens / 1000:,.0f}k" if step >= 1000 else count(tokens)
        parts.append(_text(said, LEFT - 6, y + 4, "end"))
        tokens += step
    return parts


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, at least so much."""
    power = 1.0
    while power * 10 <= least:
        power *= 10
    return next(power * times for times in (1, 2, 5, 10) if power * times >= least)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Html:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def _text(text: str, x: float, y: float, kind: str) -> Html:
    return element("text", text, x=x, y=y, class_=kind)


def _table(sizes: Sequence[SizedPlan]) -> Html:
    rows = [
        (
            str(one.nodes),
            one.reason or "" if one.plan is None else one_line(one.plan),
            "" if one.step_s is None else seconds(one.step_s),
            "" if one.tokens_per_s is None else count(one.tokens_per_s),
            "" if one.tokens_per_s is None else count(one.tokens_per_s / one.nodes),
        )
        for one in sizes
    ]
    return table(
        "The best plan on each number of nodes",
        ["nodes", "plan", "step", "tokens/s", "a node"],
        rows,
        text_columns=2,
    )
