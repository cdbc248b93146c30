"""JSON with places: the tree of a file, where its values stand, errors with line and column."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planner.errors import InputError
from planner.specs.files.document import show_location
from planner.specs.files.text_file import Place, place_of
from planner.specs.units import describe

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from planner.specs.files.document import Key, Location

DEEPEST = 200
_LONGEST_NUMBER = 40
_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([{}\[\],:])|([^\s{}\[\],:"]+))')
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NOT_NUMBERS = ("NaN", "Infinity", "-Infinity")


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` of a text, counted from 0. Of an object or a list it is the
    opening bracket."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class JsonFile:
    """`tree` holds dict, list, str, int, float, bool and None."""

    path: str
    text: str
    tree: Any

    def error(self, message: str, at: Location = (), *, hint: str | None = None) -> InputError:
        """An error at a part of the file, or at the nearest part around it."""
        shown = show_location(at)
        text = f"{shown}: {message}" if shown else message
        place = self.place(at)
        if place is None:
            return InputError(text, path=self.path, hint=hint)
        return InputError(text, path=self.path, line=place.line, column=place.column, hint=hint)

    def place(self, at: Location) -> Place | None:
        """Line and column of a part of the file, or of the nearest part around it."""
        span = nearest_value(self.text, at)
        return None if span is None else place_of(self.text, span.start)

    def mapping(self, value: Any, at: Location = ()) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.error(f"expected a mapping, found {describe(value)}", at)
        return value

    def sequence(self, value: Any, at: Location = ()) -> list[Any]:
        if not isinstance(value, list):
            raise self.error(f"expected a list, found {describe(value)}", at)
        return value


class _RefusedError(Exception):
    """A part of the text that is JSON to its parser and not to this one."""


def parse_json(text: str, path: str, *, constants: bool = False) -> JsonFile:
    """The tree of a JSON text. With `constants`, NaN and infinity, which Python writes though JSON
    has no such numbers, are read as text.

    Raises: InputError with the place of what is not JSON, of repeated keys, of NaN, infinity and
    numbers beyond measure, and of what is nested too deep.
    """
    try:
        tree = json.loads(
            text,
            parse_constant=str if constants else _refuse,
            object_pairs_hook=_unique,
            parse_int=_whole,
            parse_float=_decimal,
        )
    except json.JSONDecodeError as error:
        problem = error.msg[:1].lower() + error.msg[1:]
        raise InputError(
            f"not valid JSON: {problem}", path=path, line=error.lineno, column=error.colno
        ) from error
    except (_RefusedError, RecursionError) as error:
        raise _placed(text, path, constants=constants) from error
    return JsonFile(path, text, tree)


def find_values(text: str, wanted: Collection[Location]) -> dict[Location, Span]:
    """The values at those of the wanted locations that a valid JSON text has."""
    sought = set(wanted)
    found: dict[Location, Span] = {}
    for location, span, is_key in _parts(text):
        if not is_key and location in sought:
            found[location] = span
            if len(found) == len(sought):
                break
    return found


def nearest_value(text: str, location: Location) -> Span | None:
    """The value at a location, or the innermost around it that the text has."""
    around = [location[:depth] for depth in range(len(location), -1, -1)]
    found = find_values(text, around)
    return next((found[one] for one in around if one in found), None)


def _parts(text: str) -> Iterator[tuple[Location, Span, bool]]:
    """Every key and value of a JSON text with its location, in order; whether it is a key."""
    stack: list[Key] = []
    in_list: list[bool] = []
    expects_key = False
    position = 0
    while match := _TOKEN.match(text, position):
        start, position = match.end() - len(match[0].lstrip()), match.end()
        quoted, mark, _ = match.groups()
        if mark in ("}", "]"):
            if not stack:
                return
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
            stack[-1] = json.loads(quoted, strict=False)
            yield tuple(stack), Span(start, position), True
        else:
            yield tuple(stack), Span(start, position), False
            if mark is not None:
                stack.append(0 if mark == "[" else "")
                in_list.append(mark == "[")
                expects_key = mark == "{"


def _refuse(text: str) -> Any:
    raise _RefusedError


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise _RefusedError
    return mapping


def _whole(text: str) -> int:
    return _refuse(text) if _wrong_number(text) else int(text)


def _decimal(text: str) -> float:
    return _refuse(text) if _wrong_number(text) else float(text)


def _wrong_number(text: str) -> str | None:
    """What is wrong with the number that a text begins with."""
    if text in _NOT_NUMBERS:
        return f"{text} is not a number"
    number = _NUMBER.match(text)
    if number is None:
        return None
    text = number[0]
    if text.lstrip("-").isdigit():
        too_long = len(text) > _LONGEST_NUMBER
        return f"number {text[:12]}… has {len(text)} digits" if too_long else None
    return f"{text[:40]} is too large for a number" if abs(float(text)) == float("inf") else None


def _placed(text: str, path: str, *, constants: bool) -> InputError:
    """The first thing in a text, valid as JSON, that is refused."""
    keys: set[Location] = set()
    for location, span, is_key in _parts(text):
        part = text[span.start : span.end]
        problem = None
        if len(location) > DEEPEST:
            problem = f"nested more than {DEEPEST} deep"
        elif is_key and location in keys:
            problem = f"key {str(location[-1])[:60]!r} is given twice in one mapping"
        elif constants and part in _NOT_NUMBERS:
            continue
        elif not is_key and part[0] not in '"{[tfn':
            problem = _wrong_number(part)
        if problem is not None:
            place = place_of(text, span.start)
            return InputError(problem, path=path, line=place.line, column=place.column)
        if is_key:
            keys.add(location)
    return InputError("nested too deep", path=path)
