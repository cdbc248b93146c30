"""Values of a configuration of Hydra, whose strings refer to other values: `${.hidden_size}`."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from planner.importers.values import decided_at

if TYPE_CHECKING:
    from planner.errors import InputError
    from planner.importers.shell.text import Origin
    from planner.specs.files.document import Document, Location

_REFERENCE = re.compile(r"\$\{([^${}]*)\}")
_GROUPS = ("training", "peft", "fine_tuning")
"""What the launcher's files call themselves in references."""
_DEEPEST = 8
_NUMBER = re.compile(r"\s*\d{1,12}(?:\.\d{1,12})?\s*")


class HydraFile:
    """One file, with the references in it followed."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def value(self, *at: str) -> Any:
        """The value at a location, references followed; None where it is left out."""
        value: Any = self.document.tree
        for key in at:
            value = value.get(key) if isinstance(value, dict) else None
        return self._resolved(value, at, 0)

    def _resolved(self, value: Any, at: Location, depth: int) -> Any:
        if not isinstance(value, str) or "${" not in value:
            return value
        if depth == _DEEPEST:
            raise self.error(f"{value[:60]!r} refers to itself", at)
        whole = _REFERENCE.fullmatch(value)
        if whole is not None:
            return self._resolved(self._referred(whole[1], at), at, depth + 1)
        text = _REFERENCE.sub(lambda found: str(self._referred(found[1], at)), value)
        return self._resolved(text, at, depth + 1)

    def _referred(self, reference: str, at: Location) -> Any:
        """A product, what a variable is unless it is set, or the value of another key: of this
        group after a dot, else by its path."""
        function, colon, given = reference.partition(":")
        if colon and function.strip() in ("multiply", "divide_ceil"):
            return self._computed(function.strip(), given.split(","), at)
        if colon and function.strip() == "oc.env":
            variable, comma, usual = given.partition(",")
            if not comma:
                raise self.error(f"is left to the variable {variable.strip()[:40]}", at)
            return _number_in(usual.strip())
        path = reference.strip().split(".")
        parts = [*(str(one) for one in at[:-1]), *path[1:]] if path[0] == "" else path
        parts = parts[1:] if parts[0] in _GROUPS else parts
        value: Any = self.document.tree
        for key in parts:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            raise self.error(f"refers to {reference[:60]}, which is not in this file", at)
        return value

    def _computed(self, function: str, given: list[str], at: Location) -> int:
        numbers = [Fraction(one.strip()) for one in given if _NUMBER.fullmatch(one)]
        if len(numbers) == len(given) == 2:
            first, second = numbers
            if function == "multiply":
                return math.ceil(first * second)
            if second:
                return math.ceil(first / second)
        raise self.error(f"{function} takes two numbers, found {','.join(given)[:60]!r}", at)

    def place(self, at: Location) -> Origin:
        """Where a location stands, or the nearest group around it that the file has."""
        return decided_at(self.document, at)

    def error(self, message: str, at: Location) -> InputError:
        """An error at a location."""
        return self.document.error(message, at)


def _number_in(text: str) -> int | str:
    return int(text) if re.fullmatch(r"\d{1,12}", text) else text
