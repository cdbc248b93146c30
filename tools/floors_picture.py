"""Draws docs/architecture.svg from the floors of CONTRIBUTING.md and the first lines of the rooms:
`python -m tools.floors_picture`.

Every floor is a band, the lowest at the bottom, in several rows where it is crowded; a room that
has floors of its own is drawn with them inside. The picture brings its own background, and a dark
one where the reader's screen is.
"""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "architecture.svg"

WIDTH, MARGIN, GAP, PAD = 1080, 70, 10, 12
NAME_PX, LINE_PX, TITLE_PX = 24, 15, 30
CHARACTER_PX = 6.1
"""Width of an average character of the captions, 11 px high."""
LETTER_PX = 7.9
"""Width of a character of the names, 13 px high."""
NARROWEST = 100

STYLE = """
  text { font-family: "DejaVu Sans", Verdana, Helvetica, sans-serif; fill: #1b1f24 }
  .name { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 13px;
          font-weight: bold }
  .caption { font-size: 11px; fill: #4b535d }
  .side { font-size: 12px; fill: #4b535d }
  .page { fill: #ffffff; stroke: #d0d7de }
  .depth0 { fill: #eef4fb; stroke: #7a9cc6 }
  .depth1 { fill: #fdf6e7; stroke: #c9a44c }
  .depth2 { fill: #eef8ee; stroke: #76a876 }
  .arrow { stroke: #7d8590; stroke-width: 1.5; fill: none }
  .tip { fill: #7d8590 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .caption, .side { fill: #aab4bf }
    .page { fill: #0d1117; stroke: #30363d }
    .depth0 { fill: #14233a; stroke: #4a6f9f }
    .depth1 { fill: #332a12; stroke: #8f7430 }
    .depth2 { fill: #15301c; stroke: #4d7d55 }
  }
"""


@dataclass(frozen=True)
class Room:
    """A folder or a file of the planner. `floors`: its own, the lowest first."""

    name: str
    caption: str
    floors: tuple[tuple[Room, ...], ...] = ()


def read_floors(text: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    """The lists of CONTRIBUTING.md: for each folder its floors, the lowest first."""
    block = re.search(r"^```floors\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    found: dict[str, list[tuple[str, ...]]] = {}
    for line in block[1].splitlines():
        first, *rooms = line.split()
        if first.endswith("/"):
            floors = found[first] = []
        else:
            floors.append(tuple(rooms))
    return {folder: tuple(floors) for folder, floors in found.items()}


def house(floors: dict[str, tuple[tuple[str, ...], ...]], folder: str = "planner/") -> Room:
    """The rooms of a folder, with those of the folders in it that have floors too."""
    return Room(
        name=f"{folder.split('/')[-2]}/",
        caption="",
        floors=tuple(
            tuple(
                house(floors, f"{folder}{name}/")
                if f"{folder}{name}/" in floors
                else _room(folder, name)
                for name in floor
            )
            for floor in floors[folder]
        ),
    )


def _room(folder: str, name: str) -> Room:
    path = ROOT / folder / name
    is_folder = path.is_dir()
    file = path / "__init__.py" if is_folder else path.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    sentence = re.split(r"[.;] ", " ".join(docstring.split("\n\n")[0].split()))[0]
    return Room(f"{name}{'/' if is_folder else '.py'}", sentence.strip("`."))


def draw(room: Room) -> str:
    """The picture as SVG."""
    inner = WIDTH - 2 * MARGIN
    height = _floors_height(room, inner, 0) + 2 * PAD + TITLE_PX
    parts = _floors(room, MARGIN, PAD + TITLE_PX, inner, 0)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            "<title>The rooms of planner, floor by floor</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="page" x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="8"/>',
            f'<text class="name" x="{MARGIN}" y="{PAD + 18}">{room.name}</text>',
            *parts,
            *_arrow(MARGIN / 2, TITLE_PX + PAD, height - 2 * PAD, "imports go down"),
            *_arrow(WIDTH - MARGIN / 2, height - 2 * PAD, TITLE_PX + PAD, "data goes up"),
            "</svg>",
            "",
        ]
    )


def _arrow(x: float, start: float, end: float, text: str) -> list[str]:
    tip = 8 if end > start else -8
    middle = (start + end) / 2
    return [
        f'<path class="arrow" d="M {x:g} {start:g} V {end:g}"/>',
        f'<path class="tip" d="M {x - 5:g} {end - tip:g} H {x + 5:g} L {x:g} {end:g} Z"/>',
        f'<text class="side" text-anchor="middle" transform="translate({x - 8:g} {middle:g}) '
        f'rotate(-90)">{escape(text)}</text>',
    ]


def _floors(room: Room, x: float, y: float, width: float, depth: int) -> list[str]:
    """The floors of a room from the top, in rows of boxes that stand on one line."""
    parts = []
    for floor in reversed(_rows(room, width)):
        widths = _widths(floor, width)
        heights = [_height(one, each, depth) for one, each in zip(floor, widths, strict=True)]
        bottom = y + max(heights)
        left = x
        for one, each, height in zip(floor, widths, heights, strict=True):
            tall = height if any(other.floors for other in floor) else max(heights)
            parts += _box(one, left, bottom - tall, each, tall, depth)
            left += each + GAP
        y = bottom + GAP
    return parts


def _rows(room: Room, width: float) -> list[tuple[Room, ...]]:
    """The floors of a room from the lowest; one whose names and words do not fit beside each other
    takes several rows."""
    rows: list[tuple[Room, ...]] = []
    for floor in room.floors:
        number = 1
        while number < len(floor) and not all(map(_fits(width), _parted(floor, number))):
            number += 1
        rows += _parted(floor, number)
    return rows


def _parted(floor: tuple[Room, ...], number: int) -> list[tuple[Room, ...]]:
    """The rooms of a floor in so many rows of about the same length."""
    ends = [round(len(floor) * row / number) for row in range(number + 1)]
    return [floor[first:end] for first, end in pairwise(ends)]


def _fits(width: float) -> Callable[[tuple[Room, ...]], bool]:
    """Whether every room of a row has what it needs at least."""
    return lambda row: all(
        each >= _least(room) for room, each in zip(row, _widths(row, width), strict=True)
    )


def _widths(row: tuple[Room, ...], width: float) -> list[float]:
    """The width of a row divided by what its rooms need."""
    needs = [_need(room) for room in row]
    return [(width - GAP * (len(row) - 1)) * need / sum(needs) for need in needs]


def _least(room: Room) -> float:
    """Pixels of a room's name and of the longest word of its caption."""
    words = [] if room.floors else room.caption.split()
    longest = max((len(word) * CHARACTER_PX for word in words), default=0.0)
    return max(longest, len(room.name) * LETTER_PX) + 2 * PAD


def _need(room: Room) -> float:
    """Pixels in which a room's name fits and its caption reads well, or all floors that it has."""
    name = len(room.name) * LETTER_PX + 2 * PAD
    floors = (sum(_need(one) + GAP for one in floor) + 2 * PAD for floor in room.floors)
    return max(name, NARROWEST, *floors) if room.floors else max(name, NARROWEST)


def _box(room: Room, x: float, y: float, width: float, height: float, depth: int) -> list[str]:
    parts = [
        f'<rect class="depth{depth}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
        'rx="5"/>',
        f'<text class="name" x="{x + PAD:g}" y="{y + 19:g}">{escape(room.name)}</text>',
    ]
    if room.floors:
        return parts + _floors(room, x + PAD, y + TITLE_PX, width - 2 * PAD, depth + 1)
    for number, line in enumerate(_lines(room, width), start=1):
        parts.append(
            f'<text class="caption" x="{x + PAD:g}" y="{y + 19 + number * LINE_PX:g}">'
            f"{escape(line)}</text>"
        )
    return parts


def _height(room: Room, width: float, depth: int) -> float:
    if room.floors:
        return TITLE_PX + _floors_height(room, width - 2 * PAD, depth + 1) + PAD - GAP
    return NAME_PX + len(_lines(room, width)) * LINE_PX + PAD / 2


def _floors_height(room: Room, width: float, depth: int) -> float:
    total = 0.0
    for floor in _rows(room, width):
        rooms = zip(floor, _widths(floor, width), strict=True)
        total += max(_height(one, each, depth) for one, each in rooms) + GAP
    return total


def _lines(room: Room, width: float) -> list[str]:
    return textwrap.wrap(room.caption, int((width - 2 * PAD) / CHARACTER_PX))


def picture() -> str:
    """The picture of the tree as it is."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return draw(house(read_floors(text)))


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
