"""The texts that launch plan 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.reports.page.html import Html, element
from planner.reports.page.parts import note, section

if TYPE_CHECKING:
    from planner.reports.page.content import PageContent

LONGEST = 24_000
"""Characters of a text that the page shows."""


def launch(content: PageContent) -> Html | None:
    """One text open, the others behind their names; long ones are left out by name. None for a
    document without plans."""
    if not content.answer.plans:
        return None
    title = f"Launch {'plan 1' if content.answer.search else 'it'}"
    if content.inputs is None:
        return section("launch", title, note(content.left_out))
    texts = content.inputs.launches
    short = {name: text for name, text in texts.items() if len(text) <= LONGEST}
    if not short:
        return section("launch", title, note("No format can express the plan."))
    blocks = [
        element(
            "details",
            element("summary", name),
            element("div", _copy(at), element("pre", text, id=f"launch-{at}", tabindex=0)),
            class_="launch",
            open=at == 0,
        )
        for at, (name, text) in enumerate(short.items())
    ]
    long = [name for name in texts if name not in short]
    return section(
        "launch",
        title,
        note("What planner export writes, by the names of the files."),
        *blocks,
        note(f"Too long for this page: {', '.join(long)}. planner export writes them.")
        if long
        else None,
        wide=True,
    )


def _copy(at: int) -> Html:
    return element("button", "Copy", type="button", class_="copy", data_copies=f"launch-{at}")
