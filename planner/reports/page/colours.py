"""The palette as style: a custom property for every colour, light, dark and as chosen."""

from __future__ import annotations

import re

from planner.reports.page.palette import (
    BANDWIDTHS,
    CAUSES,
    COMPONENTS,
    HATCHED,
    PASSES,
    SURFACES,
    Shade,
    stage_colour,
    text_on,
)

_STAGE = re.compile(r"\bstage(\d+)of(\d+)\b")

DATA = {**PASSES, **COMPONENTS, **CAUSES}


def colours_css() -> str:
    """Dark colours are for the screen alone: paper is light."""
    light = _properties({name: shade.light for name, shade in _shades().items()})
    dark = _properties({name: shade.dark for name, shade in _shades().items()})
    rules = [
        f":root{{{light}}}",
        "@media screen{"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}"
        f":root[data-theme=dark]{{{dark}}}"
        "}",
        *(f".c-{name}{{background-color:var(--{name});color:var(--on-{name})}}" for name in DATA),
        *(
            f".c-{name}{{background-image:repeating-linear-gradient(135deg,var(--page) 0 1px,"
            "transparent 1px 5px)}"
            for name in HATCHED
        ),
    ]
    rules += [
        f".{name}{{fill:{shade}}}.back-{name}{{background-color:{shade}}}"
        for name, shade in zip(
            (f"bandwidth{at}" for at in range(len(BANDWIDTHS))), BANDWIDTHS, strict=True
        )
    ]
    return "\n".join(rules) + "\n"


def stages_css(body: str) -> str:
    """The rules of the stages that a page colours, such as stage3of8; the same on both pages."""
    found = sorted({(int(of), int(stage)) for stage, of in _STAGE.findall(body)})
    return "".join(
        f".stage{stage}of{of}{{background-color:{colour};color:{text_on(colour)}}}"
        for of, stage in found
        for colour in [stage_colour(stage, of)]
    )


def _shades() -> dict[str, Shade]:
    on = {
        f"on-{name}": Shade(text_on(shade.light), text_on(shade.dark))
        for name, shade in DATA.items()
    }
    return {**SURFACES, **DATA, **on}


def _properties(values: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in values.items())
