"""The few shapes that sections are built from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.reports.page.html import Html, element

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planner.reports.page.html import Child


def section(name: str, title: str, *children: Child, wide: bool = False) -> Html:
    """A section with its heading; `name` is what links lead to."""
    heading = element("h2", title, id=f"{name}-title")
    return element(
        "section",
        heading,
        *children,
        id=name,
        class_="wide" if wide else None,
        aria_labelledby=f"{name}-title",
    )


def note(*children: Child) -> Html:
    """Small print under a heading or a picture."""
    return element("p", *children, class_="note")


def bullets(items: Iterable[Child], *, kind: str = "") -> Html:
    return element("ul", *(element("li", item) for item in items), class_=kind or None)


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Child]],
    *,
    text_columns: int = 1,
) -> Html:
    """Numbers in columns, the first of which names the row; the first `text_columns` are text."""
    head = element(
        "tr",
        *(
            element("th", name, scope="col", class_=None if at < text_columns else "number")
            for at, name in enumerate(columns)
        ),
    )
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(
                element("td", cell, class_=None if at < text_columns else "number")
                for at, cell in enumerate(row[1:], start=1)
            ),
        )
        for row in rows
    ]
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", head),
            element("tbody", *body),
            class_="plain",
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def same_as_table(inside: Html) -> Html:
    """A picture's figures, behind a line that opens them."""
    return element("details", element("summary", "The same as a table"), inside)
