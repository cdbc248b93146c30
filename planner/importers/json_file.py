"""JSON with places: the tree of a file, and errors that name the line and column of a part."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from planner.errors import InputError
from planner.importers.source import Source
from planner.specs.files.document import show_location
from planner.specs.files.json_places import nearest_value
from planner.specs.files.repeated import first_repeated
from planner.specs.files.text_file import Place, place_of
from planner.specs.units import describe

_LONGEST_NUMBER = 40

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class JsonFile:
    """`tree` holds dict, list, str, int, float, bool and None."""

    source: Source
    tree: Any

    def error(self, message: str, at: Location = (), *, hint: str | None = None) -> InputError:
        """An error at a part of the file, or at the nearest part around it."""
        shown = show_location(at)
        text = f"{shown}: {message}" if shown else message
        span = nearest_value(self.source.text, at)
        if span is None:
            return self.source.error(text, hint=hint)
        return self.source.error_at(text, span.start, hint=hint)

    def place(self, at: Location) -> Place | None:
        """Line and column of a part of the file, or of the nearest part around it."""
        span = nearest_value(self.source.text, at)
        return None if span is None else place_of(self.source.text, span.start)

    def mapping(self, value: Any, at: Location = ()) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.error(f"expected a mapping, found {describe(value)}", at)
        return value

    def sequence(self, value: Any, at: Location = ()) -> list[Any]:
        if not isinstance(value, list):
            raise self.error(f"expected a list, found {describe(value)}", at)
        return value


def parse_json(source: Source) -> JsonFile:
    """Raises: InputError for what is not JSON, repeated keys, NaN and infinity, deep nesting."""

    def refuse(constant: str) -> Any:
        raise source.error(f"{constant} is not a number")

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(found)
        if len(mapping) < len(found):
            again = first_repeated(name for name, _ in found)
            raise source.error(f"key {str(again)[:60]!r} is given twice in one mapping")
        return mapping

    def number(text: str) -> int:
        if len(text) > _LONGEST_NUMBER:
            raise source.error(f"number {text[:12]}… has {len(text)} digits")
        return int(text)

    def decimal(text: str) -> float:
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise source.error(f"{text[:40]} is too large for a number")
        return value

    try:
        tree = json.loads(
            source.text,
            parse_constant=refuse,
            object_pairs_hook=pairs,
            parse_int=number,
            parse_float=decimal,
        )
    except json.JSONDecodeError as error:
        problem = error.msg[:1].lower() + error.msg[1:]
        raise source.error(f"not valid JSON: {problem}", error.lineno, error.colno) from error
    except RecursionError as error:
        raise source.error("nested too deep") from error
    return JsonFile(source, tree)
