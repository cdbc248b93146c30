"""Where the values of a JSON text stand."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from planner.specs.files.document import Key, Location

_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([{}\[\],:])|([^\s{}\[\],:"]+))')


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` of a text, counted from 0. Of an object or a list it is the
    opening bracket."""

    start: int
    end: int


def find_values(text: str, wanted: Collection[Location]) -> dict[Location, Span]:
    """The values at those of the wanted locations that a valid JSON text has."""
    sought = set(wanted)
    found: dict[Location, Span] = {}
    stack: list[Key] = []
    in_list: list[bool] = []
    expects_key = False
    position = 0
    while len(found) < len(sought) and (match := _TOKEN.match(text, position)):
        start, position = match.end() - len(match[0].lstrip()), match.end()
        quoted, mark, _ = match.groups()
        if mark in ("}", "]"):
            stack.pop()
            in_list.pop()
            expects_key = False
        elif mark == ",":
            if in_list and in_list[-1]:
                stack[-1] = int(stack[-1]) + 1
            expects_key = bool(in_list) and not in_list[-1]
        elif mark == ":":
            expects_key = False
        elif expects_key and quoted is not None:
            stack[-1] = json.loads(quoted)
        else:
            here = tuple(stack)
            if here in sought:
                found[here] = Span(start, position)
            if mark is not None:
                stack.append(0 if mark == "[" else "")
                in_list.append(mark == "[")
                expects_key = mark == "{"
    return found


def nearest_value(text: str, location: Location) -> Span | None:
    """The value at a location, or the innermost around it that the text has."""
    around = [location[:depth] for depth in range(len(location), -1, -1)]
    found = find_values(text, around)
    return next((found[one] for one in around if one in found), None)
