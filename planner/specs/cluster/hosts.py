"""Host lists: `node[001-128,130]` to names, zero padding kept."""

from __future__ import annotations

import re
from itertools import product

from planner.specs.files.repeated import first_repeated

MOST_HOSTS = 1_000_000

_PIECE = re.compile(r"\[([^\[\]]*)\]|([^\[\],]+)")
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


def expand_hosts(value: object) -> tuple[str, ...]:
    """Names from a text like `gpu[01-16],login[1,3]` or a list of such texts, in order.

    Raises: ValueError, naming the part that cannot be read, for repeated names, and beyond
    `MOST_HOSTS` names.
    """
    texts = value if isinstance(value, (list, tuple)) else (value,)
    names: list[str] = []
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"expected host names as text, found {text!r}; put it in quotes")
        for part in _split(text):
            names.extend(_expand_part(part, MOST_HOSTS - len(names)))
    if not names:
        raise ValueError("no host names; write a list or node[001-128]")
    repeated = first_repeated(names)
    if repeated:
        raise ValueError(f"host {repeated} is named twice")
    return tuple(names)


def _split(text: str) -> list[str]:
    """Parts between commas outside brackets."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if depth not in (0, 1):
            raise ValueError(f"unbalanced brackets in {text[:60]!r}")
        if character == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    if depth:
        raise ValueError(f"unbalanced brackets in {text[:60]!r}")
    return [part.strip(" ") for part in (*parts, text[start:])]


def _expand_part(part: str, room: int) -> list[str]:
    choices: list[list[str]] = []
    total = 1
    for ranges, fixed in _PIECE.findall(part):
        choices.append([fixed] if fixed else _expand_ranges(ranges, part, room))
        total *= len(choices[-1])
        if total > room:
            raise ValueError(f"{part[:60]!r} names more than {MOST_HOSTS} hosts")
    names = ["".join(pieces) for pieces in product(*choices)] if choices else [""]
    if not _NAME.fullmatch(names[0]):
        raise ValueError(
            f"{names[0][:60]!r} is not a host name; letters, digits, dots and dashes are, "
            "and ranges like node[001-128,130]"
        )
    return names


def _expand_ranges(ranges: str, part: str, room: int) -> list[str]:
    numbers: list[str] = []
    for piece in ranges.split(","):
        match = _RANGE.fullmatch(piece.strip(" "))
        if match is None:
            raise ValueError(
                f"{piece[:40]!r} in {part[:60]!r} is not a number or a range like 001-128"
            )
        first, last = match[1], match[2] or match[1]
        if int(last) < int(first):
            raise ValueError(f"range {piece} in {part[:60]!r} runs backwards")
        if int(last) - int(first) >= room:
            raise ValueError(f"{part[:60]!r} names more than {MOST_HOSTS} hosts")
        width = len(first)
        numbers.extend(f"{number:0{width}d}" for number in range(int(first), int(last) + 1))
    return numbers
