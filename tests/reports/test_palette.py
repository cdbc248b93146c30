"""The colours of the page: told apart by every kind of eye, and read on their grounds.

Simulated sight: Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation
of color vision deficiency", full severity. Differences: CIE76 in CIELAB under D65.
"""

from __future__ import annotations

import re
from itertools import combinations, pairwise

import pytest

from planner.reports.page.colours import colours_css
from planner.reports.page.palette import (
    CAUSES,
    COMPONENTS,
    LEAST_CONTRAST,
    PASSES,
    SURFACES,
    contrast,
    linear,
    stage_colour,
    text_on,
)

SIGHT = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deutan": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritan": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
WHITE = (0.9505, 1.0, 1.089)
LEAST = {"light": 11.0, "dark": 12.0}
NEIGHBOURS = 20.0
PALETTES = {"causes": CAUSES, "components": COMPONENTS, "passes": PASSES}


def lab(colour: str, sight: str) -> tuple[float, float, float]:
    seen = [
        min(max(sum(a * b for a, b in zip(row, linear(colour), strict=True)), 0.0), 1.0)
        for row in SIGHT[sight]
    ]
    x, y, z = (
        _root(sum(a * b for a, b in zip(row, seen, strict=True)) / white)
        for row, white in zip(TO_XYZ, WHITE, strict=True)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _root(value: float) -> float:
    return value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116


def difference(one: str, other: str, sight: str) -> float:
    pairs = zip(lab(one, sight), lab(other, sight), strict=True)
    return float(sum((a - b) ** 2 for a, b in pairs) ** 0.5)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("page", ["light", "dark"])
@pytest.mark.parametrize("name", PALETTES)
def test_any_two_colours_of_a_picture_differ(name: str, page: str, sight: str) -> None:
    for (one, a), (other, b) in combinations(PALETTES[name].items(), 2):
        found = difference(getattr(a, page), getattr(b, page), sight)
        assert found >= LEAST[page], (one, other, found)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("page", ["light", "dark"])
@pytest.mark.parametrize("name", ["causes", "components"])
def test_neighbours_in_a_bar_differ_more(name: str, page: str, sight: str) -> None:
    for (one, a), (other, b) in pairwise(PALETTES[name].items()):
        found = difference(getattr(a, page), getattr(b, page), sight)
        assert found >= NEIGHBOURS, (one, other, found)


@pytest.mark.parametrize("page", ["light", "dark"])
def test_text_is_read_on_its_ground(page: str) -> None:
    for shade in (*CAUSES.values(), *COMPONENTS.values(), *PASSES.values()):
        colour = getattr(shade, page)
        assert contrast(text_on(colour), colour) >= LEAST_CONTRAST
    for ground in ("page", "card"):
        for text in ("ink", "soft", "accent", "limit", "good"):
            pair = (getattr(SURFACES[text], page), getattr(SURFACES[ground], page))
            assert contrast(*pair) >= LEAST_CONTRAST, (text, ground)
    chosen = getattr(SURFACES["chosen"], page)
    for text in ("ink", "accent", "limit"):
        assert contrast(getattr(SURFACES[text], page), chosen) >= LEAST_CONTRAST, text


@pytest.mark.parametrize("stages", [1, 2, 8, 64])
def test_stages_go_from_light_to_dark_and_their_numbers_are_read(stages: int) -> None:
    colours = [stage_colour(stage, stages) for stage in range(stages)]
    light = [lab(colour, "normal")[0] for colour in colours]
    assert light == sorted(light, reverse=True)
    assert all(contrast(text_on(colour), colour) >= LEAST_CONTRAST for colour in colours)


def test_every_colour_is_a_property_on_both_pages_and_paper_is_light() -> None:
    css = colours_css()
    light, dark = (
        set(re.findall(r"--([a-z_-]+):", block))
        for block in (css.split("}")[0], css.split("prefers-color-scheme:dark){")[1].split("}")[0])
    )
    assert light == dark
    assert css.index("@media screen") < css.index("prefers-color-scheme:dark")
