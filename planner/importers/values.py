"""Values of a configuration by their keys, each checked to be of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from planner.importers.shell.text import Origin
from planner.specs.files.document import show_location
from planner.specs.units import describe

if TYPE_CHECKING:
    from planner.errors import InputError
    from planner.specs.files.document import Document, Location

MOST = 10**9
AUTO = "auto"


class Configuration(Protocol):
    """A file of JSON or YAML."""

    @property
    def tree(self) -> Any:
        """Its content."""

    def error(self, message: str, location: Location = ()) -> InputError:
        """An error at a part of it."""


def decided_at(document: Document, location: Location) -> Origin:
    """Where a part of a document stands, or the nearest part around it."""
    while location and location not in document.marks:
        location = location[:-1]
    mark = document.marks.get(location)
    if mark is None:
        return Origin(document.path, 1, 1)
    return Origin(mark.path, mark.place.line, mark.place.column)


class Values:
    """Looks values up. `automatic` are the places asked for that are left to the program that reads
    the file."""

    def __init__(self, file: Configuration) -> None:
        self.file = file
        self.automatic: list[str] = []

    def at(self, *location: str) -> Any:
        """The value at a location, None where it is left out or "auto". Raises: InputError."""
        value: Any = self.file.tree
        for depth, key in enumerate(location):
            if not isinstance(value, dict):
                raise self.file.error(
                    f"expected a mapping, found {describe(value)}", location[:depth]
                )
            value = value.get(key)
            if value is None:
                return None
        if value == AUTO:
            self.automatic.append(show_location(location))
            return None
        return value

    def whole(self, *location: str, least: int = 1, most: int = MOST) -> int | None:
        """A whole number in a range, None where it is left open. Raises: InputError."""
        value = self.at(*location)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.error(f"expected a whole number from {least} to {most:,}", location, value)
        return value

    def flag(self, *location: str) -> bool | None:
        """True or false, None where it is left open. Raises: InputError."""
        value = self.at(*location)
        if value is not None and not isinstance(value, bool):
            raise self.error("expected true or false", location, value)
        return value

    def word(self, choices: Mapping[str, str], *location: str) -> str | None:
        """What a word of `choices` stands for, None where it is left open. Raises: InputError."""
        value = self.at(*location)
        if value is None:
            return None
        if not isinstance(value, str) or value not in choices:
            raise self.error(f"expected one of {', '.join(choices)}", location, value)
        return choices[value]

    def error(self, expected: str, location: tuple[str, ...], value: object) -> InputError:
        """What was expected, and what the file has there."""
        return self.file.error(f"{expected}, found {describe(value)}", location)
