"""Curves and points over two axes, drawn twice so that text keeps its size on a small screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.reports.page.html import Html, element
from planner.wording.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WIDTHS = (("wide", 600), ("narrow", 350))
HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 280, 58, 26, 20, 36
MARKS = 4
"""Lines of each axis."""

Place = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """`curves`: places to be joined, by the label at the last one; `others`: places alone. Both
    axes begin at 0."""

    x_label: str
    y_label: str
    curves: Mapping[str, tuple[Place, ...]]
    others: tuple[Place, ...] = ()

    @property
    def ends(self) -> Place:
        """The largest figures of both axes."""
        places = [*self.others, *(one for curve in self.curves.values() for one in curve)]
        return max(x for x, _ in places), max(y for _, y in places)


def picture(plot: Plot) -> list[Html]:
    """For wide and for narrow screens."""
    return [
        element("div", _drawn(plot, width), class_=f"chart {name}", aria_hidden="true")
        for name, width in WIDTHS
    ]


@dataclass(frozen=True, slots=True)
class _Scale:
    """From figures to pixels."""

    width: int
    most: Place

    def x(self, figure: float) -> float:
        return round(LEFT + (self.width - LEFT - RIGHT) * figure / (self.most[0] or 1.0), 1)

    def y(self, figure: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - figure / (self.most[1] or 1.0)), 1)


def _drawn(plot: Plot, width: int) -> Html:
    scale = _Scale(width, plot.ends)
    parts = list(_grid(scale))
    for x, y in plot.others:
        parts.append(element("circle", cx=scale.x(x), cy=scale.y(y), r=2, class_="point"))
    for label, places in plot.curves.items():
        if not places:
            continue
        path = "L".join(f"{scale.x(x):g} {scale.y(y):g}" for x, y in places)
        parts.append(element("path", d=f"M{path}", class_="curve"))
        for x, y in places:
            parts.append(element("circle", cx=scale.x(x), cy=scale.y(y), r=4, class_="point"))
        last_x, last_y = places[-1]
        parts.append(_text(label, scale.x(last_x) + 8, scale.y(last_y) + 4, "start"))
    parts.append(_text(plot.x_label, width - RIGHT, HEIGHT - 4, "end"))
    parts.append(_text(plot.y_label, 2, 12, "start"))
    return element("svg", *parts, viewBox=f"0 0 {width} {HEIGHT}", width=width, height=HEIGHT)


def _grid(scale: _Scale) -> Iterator[Html]:
    for figure in _marks(scale.most[1]):
        y = scale.y(figure)
        ends = {"x1": LEFT, "y1": y, "x2": scale.width - RIGHT, "y2": y}
        yield element("line", class_="grid", **ends)
        yield _text(_short(figure), LEFT - 6, y + 4, "end")
    for figure in _marks(scale.most[0]):
        yield _text(_short(figure), scale.x(figure), HEIGHT - BOTTOM + 18, "middle")


def _marks(most: float) -> list[float]:
    """From 0 by 1, 2 or 5 times a power of ten."""
    if most <= 0:
        return [0.0]
    power = 1.0
    while power * 10 <= most / MARKS:
        power *= 10
    while power > most / MARKS:
        power /= 10
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= most / MARKS)
    return [step * at for at in range(int(most / step) + 1)]


def _short(figure: float) -> str:
    for letter, size in (("M", 1e6), ("k", 1e3)):
        if figure >= 10 * size:
            return f"{figure / size:,.0f}{letter}"
    return count(figure) if figure >= 10 or figure == int(figure) else f"{figure:.2g}"


def _text(text: str, x: float, y: float, kind: str) -> Html:
    return element("text", text, x=x, y=y, class_=kind)
