"""The colours of the page, light and dark.

Ten causes need ten colours: Okabe and Ito 2008, "Color universal design", each moved as little as
needed for any two to differ by a CIE76 distance of 11 (12 on the dark page) to normal, protanope,
deuteranope and tritanope eyes (matrices of Machado et al. 2009), and neighbours in a bar by 20.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shade:
    """One colour as it is on the light and on the dark page, as #rrggbb."""

    light: str
    dark: str


BLUE = Shade("#0072b2", "#3d9bd9")
SKY = Shade("#56b4e9", "#a6dcff")
VERMILION = Shade("#d45d00", "#e9713c")
AMBER = Shade("#ef9f01", "#f9c34b")
OLIVE = Shade("#785b00", "#917b00")
PINK = Shade("#c9619f", "#db99ce")
GREEN = Shade("#009a6d", "#31c095")
PALE = Shade("#a8abb0", "#5d656d")
PURPLE = Shade("#402892", "#9b6ff0")
GREY = Shade("#5a5d62", "#b7babf")
BROWN = Shade("#441108", "#772211")

CAUSES: Mapping[str, Shade] = {
    "compute": BLUE,
    "recompute": SKY,
    "tensor_comm": VERMILION,
    "context_comm": AMBER,
    "expert_comm": OLIVE,
    "pipeline_comm": PINK,
    "data_comm": GREEN,
    "bubble": PALE,
    "optimizer": PURPLE,
    "jitter": GREY,
    "offload": BROWN,
}
"""Of the causes of time, in the order in which bars stack them."""

COMPONENTS: Mapping[str, Shade] = {
    "weights": BLUE,
    "gradients": SKY,
    "optimizer": PURPLE,
    "activations": VERMILION,
    "logits": AMBER,
    "buffers": OLIVE,
    "fixed": GREY,
    "slack": PALE,
}
"""Of the components of memory, in the order in which bars stack them."""

PASSES: Mapping[str, Shade] = {
    "forward": BLUE,
    "backward": VERMILION,
    "weight_gradient": AMBER,
    "recompute": SKY,
    "vocabulary": PINK,
    "reduction": GREEN,
    "optimizer": PURPLE,
}
"""Of what a stage does in the picture of the pipeline."""

HATCHED = ("bubble", "slack")
"""What is no work and no tensor is hatched as well."""

SURFACES: Mapping[str, Shade] = {
    "page": Shade("#fbfbfa", "#111418"),
    "card": Shade("#ffffff", "#191e24"),
    "line": Shade("#dfe1e4", "#323941"),
    "track": Shade("#dfe1e4", "#323941"),
    "ink": Shade("#1b1f24", "#e8eaed"),
    "soft": Shade("#575d65", "#a9b0b8"),
    "accent": Shade("#005f96", "#6cb8ec"),
    "chosen": Shade("#dcebf4", "#1d3446"),
    "limit": Shade("#a33b00", "#ffa36b"),
    "good": Shade("#00734f", "#3fd0a3"),
}
"""Of everything that is no data: the page, cards, lines, text, links, the marked row, limits and
warnings."""

DARK_TEXT, LIGHT_TEXT = "#000000", "#ffffff"
LEAST_CONTRAST = 4.5
"""Of text on its ground (WCAG 2.2, success criterion 1.4.3)."""


def stage_colour(stage: int, stages: int) -> str:
    """The colour of a stage, #rrggbb: from the first to the last through cividis (Nuñez, Anderton
    and Renslow 2018), which colour-blind eyes see alike, between a few of its points."""
    at = (len(CIVIDIS) - 1) * stage / max(stages - 1, 1)
    first = min(int(at), len(CIVIDIS) - 2)
    share = at - first
    ends = zip(_channels(CIVIDIS[first]), _channels(CIVIDIS[first + 1]), strict=True)
    mixed = (round(low + share * (high - low)) for low, high in ends)
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


CIVIDIS = (
    "#fee838", "#e1cc55", "#c3b369", "#a69d75", "#8a8678",
    "#707173", "#575d6d", "#3b496c", "#123570", "#00224e",
)  # fmt: skip
BANDWIDTHS = tuple(CIVIDIS[at] for at in (9, 7, 5, 3, 1, 0))
"""From the slowest links, dark, to the fastest, bright; the same on both pages."""


def text_on(colour: str) -> str:
    """Black or white, whichever is read better on a colour."""
    return max((DARK_TEXT, LIGHT_TEXT), key=lambda text: contrast(text, colour))


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, from 1 to 21 (WCAG 2.2)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def linear(colour: str) -> tuple[float, float, float]:
    """Linear red, green and blue of an sRGB colour (IEC 61966-2-1)."""
    values = [channel / 255 for channel in _channels(colour)]
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values
    )
    return red, green, blue


def _luminance(colour: str) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
