"""A picture of predicted against measured step times, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

SIZE, LEFT, BOTTOM, TOP = 640, 64, 52, 20
BAND = 0.2
"""The shaded band: within this share of what was measured."""
STYLE = """
  text { font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 12px; fill: #333 }
  .frame { fill: none; stroke: #888 } .grid { stroke: #8884 } .band { fill: #4a7ebb22 }
  .even { stroke: #888; stroke-dasharray: 4 3 } circle { fill: #1f5fa8; fill-opacity: 0.45 }
  @media (prefers-color-scheme: dark) { text { fill: #ccc } circle { fill: #7fb2f0 } }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Seconds of a step, and what a reader sees when the pointer rests on it."""

    measured_s: float
    predicted_s: float
    label: str


def scatter(points: Sequence[Point]) -> str:
    """Both axes logarithmic and alike, with the diagonal and a band around it."""
    every = [value for one in points for value in (one.measured_s, one.predicted_s)]
    low, high = floor(log10(min(every))), ceil(log10(max(every)))
    inside = SIZE - LEFT - TOP

    def across(seconds: float) -> float:
        return round(LEFT + (log10(seconds) - low) / (high - low) * inside, 1)

    def up(seconds: float) -> float:
        return round(SIZE - BOTTOM - (log10(seconds) - low) / (high - low) * inside, 1)

    start, end = 10.0**low, 10.0**high
    edges = [(start, start * (1 + BAND)), (end / (1 + BAND), end), (end, end),
             (end, end * (1 - BAND)), (start / (1 - BAND), start), (start, start)]  # fmt: skip
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" role="img" '
        f'aria-label="Predicted against measured seconds of a step, {len(points)} runs">',
        f"<style>{STYLE}</style>",
        '<polygon class="band" points="'
        + " ".join(f"{across(x)},{up(y)}" for x, y in edges)
        + '"/>',
        f'<line class="even" x1="{across(start)}" y1="{up(start)}" x2="{across(end)}" '
        f'y2="{up(end)}"/>',
    ]
    for power in range(low, high + 1):
        at, text = 10.0**power, f"{10.0**power:g} s"
        parts += [
            f'<line class="grid" x1="{across(at)}" y1="{up(start)}" x2="{across(at)}" '
            f'y2="{up(end)}"/>',
            f'<line class="grid" x1="{across(start)}" y1="{up(at)}" x2="{across(end)}" '
            f'y2="{up(at)}"/>',
            f'<text x="{across(at)}" y="{SIZE - BOTTOM + 18}" text-anchor="middle">{text}</text>',
            f'<text x="{LEFT - 6}" y="{up(at) + 4}" text-anchor="end">{text}</text>',
        ]
    for one in points:
        parts.append(
            f'<circle cx="{across(one.measured_s)}" cy="{up(one.predicted_s)}" r="3.5">'
            f"<title>{escape(one.label)}</title></circle>"
        )
    parts += [
        f'<text x="{LEFT + inside / 2}" y="{SIZE - 10}" text-anchor="middle">measured</text>',
        f'<text x="16" y="{SIZE / 2}" text-anchor="middle" '
        f'transform="rotate(-90 16 {SIZE / 2})">predicted</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
