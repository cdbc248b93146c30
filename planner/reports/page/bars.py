"""Bars of HTML: parts of a whole beside one another, marks and ranges on a track.

The page's policy allows no style in an element. A length is therefore a class, such as w123 for
12.3 % of the width and l500 for half of it from the left, and `lengths_css` writes the rules of
those that a page has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.reports.page.html import Html, element, join
from planner.wording.units import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from planner.reports.page.palette import Shade

STEPS = 1000
"""Lengths are told apart to a thousandth of the width."""
LABELLED = 0.11
"""Shares of a bar's full width from which a part has its own label."""
_LENGTH = re.compile(r'[" ]([wlr])(\d{1,4})(?=[" ])')
_RULES = {"w": "width", "l": "left", "r": "right"}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: the colour's name, its size in the unit of the whole, and what it is in
    words."""

    colour: str
    size: float
    title: str
    label: str = ""


def length(kind: str, share: float) -> str:
    """The class of a length: `w` a width, `l` a distance from the left."""
    return f"{kind}{round(STEPS * min(max(share, 0.0), 1.0))}"


def lengths_css(body: str) -> str:
    """The rules of the lengths that a page has."""
    found = sorted({(kind, int(steps)) for kind, steps in _LENGTH.findall(body)})
    return "".join(
        f".{kind}{steps}{{{_RULES[kind]}:{100 * steps / STEPS:g}%}}" for kind, steps in found
    )


def stacked(parts: Iterable[Part], whole: float) -> Html:
    """Parts in their order; `whole` fills the bar. Parts of no length are left out."""
    shown = [part for part in parts if part.size > 0]
    spans = []
    for part in shown:
        share = part.size / whole
        spans.append(
            element(
                "span",
                element("b", part.label) if part.label and share >= LABELLED else None,
                class_=f"part c-{part.colour} {length('w', share)}",
                title=part.title,
            )
        )
    return element("span", *spans, class_="bar")


def legend(colours: Mapping[str, Shade], labels: Mapping[str, str], used: Sequence[str]) -> Html:
    """What the colours stand for, of those in use."""
    entries = [
        element("li", element("i", class_=f"swatch c-{name}"), labels[name])
        for name in colours
        if name in used
    ]
    return element("ul", *entries, class_="legend")


def range_bar(
    *, low: float, value: float, high: float, whole: float, limit: float | None = None
) -> Html:
    """A range on a track, its value and a limit as marks."""
    marks = [
        element(
            "i", class_=f"range {length('l', low / whole)} {length('w', (high - low) / whole)}"
        ),
        element("i", class_=f"value {length('l', value / whole)}"),
    ]
    if limit is not None:
        marks.append(element("i", class_=f"limit {length('l', limit / whole)}"))
    return element("span", join(marks), class_="track", aria_hidden="true")


def share_label(share: float) -> str:
    """`12%`: a share on a bar."""
    return percent(share).partition(".")[0] + "%" if share >= 0.1 else percent(share)
