"""Values of a parsed JSON document that know where they stand, so that errors can say so."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from planner.errors import InputError
from planner.plan_document.page import document_text, is_page
from planner.specs.files.json_file import JsonFile, parse_json
from planner.specs.files.text_file import decode, read_bytes
from planner.specs.names import check_host, check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.specs.files.document import Key, Location

LARGEST_BYTES = 256 * 2**20
LARGEST_COUNT_BYTES = 2**62
"""Of any count of bytes or of combinations."""
MOST = 1_000_000
"""Largest count of anything in a plan: devices, layers, microbatches, sequences of a batch."""
_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Node:
    """A value at `location` (such as plans, 0, degrees) of a file."""

    file: JsonFile
    location: Location
    value: Any

    def fail(self, message: str, *, hint: str | None = None) -> NoReturn:
        raise self.file.error(message, self.location, hint=hint)

    def wanted(self, what: str) -> NoReturn:
        self.fail(f"{what} is needed, found {found(self.value)}")

    def __getitem__(self, key: str) -> Node:
        fields = self._of(dict)
        if key not in fields:
            self.fail(f'"{key}" is missing')
        return self._below(key, fields[key])

    def get(self, key: str) -> Node | None:
        return self[key] if key in self._of(dict) else None

    def only(self, keys: Sequence[str]) -> None:
        """No key other than `keys`."""
        for key in self._of(dict):
            if key not in keys:
                near = get_close_matches(key, keys, n=1)
                hint = f'did you mean "{near[0]}"?' if near else f"allowed are {', '.join(keys)}"
                self.fail(f"{found(key)} is not known here", hint=hint)

    def items(self) -> tuple[Node, ...]:
        entries = self._of(list)
        return tuple(self._below(index, item) for index, item in enumerate(entries))

    def fields(self) -> dict[str, Node]:
        """The values of an object by their keys, in its order."""
        return {key: self._below(key, value) for key, value in self._of(dict).items()}

    def length(self) -> int:
        """Entries of a list."""
        return len(self._of(list))

    def text(self, choices: Sequence[str] | None = None) -> str:
        value: str = self._of(str)
        if choices is not None and value not in choices:
            self.wanted(f"one of {', '.join(choices)}")
        return value

    def host(self) -> str:
        """A host name."""
        return self._checked(check_host)

    def name(self) -> str:
        """A name of a cluster, a model or a software profile."""
        return self._checked(check_name)

    def _checked(self, check: Callable[[str], str]) -> str:
        try:
            return check(self.text())
        except ValueError as error:
            self.fail(str(error))

    def optional_text(self) -> str | None:
        return None if self.value is None else self.text()

    def optional_number(self, *, at_least: float) -> float | None:
        return None if self.value is None else self.number(at_least=at_least)

    def flag(self) -> bool:
        value: bool = self._of(bool)
        return value

    def count(self, *, at_least: int = 0, at_most: int = MOST) -> int:
        value = self.value
        if not isinstance(value, int) or isinstance(value, bool):
            self.wanted("a whole number")
        if not at_least <= value <= at_most:
            self.wanted(f"a whole number from {at_least} to {at_most:,}")
        return value

    def share(self) -> float:
        """A number from 0 to 1."""
        value = self.number(at_least=0)
        if value > 1:
            self.wanted("a share from 0 to 1")
        return value

    def number(self, *, at_least: float, below: float = float("inf")) -> float:
        value = self.value
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.wanted("a number")
        if not at_least <= value < below:
            limit = "" if below == float("inf") else f" and below {below:g}"
            self.wanted(f"a number of at least {at_least:g}{limit}")
        return float(value)

    def _below(self, key: Key, value: Any) -> Node:
        return Node(self.file, (*self.location, key), value)

    def _of(self, kind: type) -> Any:
        if not isinstance(self.value, kind):
            self.wanted(_KINDS[kind])
        return self.value


def found(value: Any) -> str:
    """A value as an error message shows it."""
    if isinstance(value, dict | list):
        return _KINDS[type(value)]
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


@dataclass(frozen=True, slots=True)
class DocumentFile:
    """The text of a document; `packed` into a page it has no lines in its file."""

    text: str
    packed: bool


def read_file(path: Path) -> DocumentFile:
    """The document in a file, or in a page of `planner report`. Raises: InputError."""
    text = decode(read_bytes(path, largest=LARGEST_BYTES), path)
    if is_page(text):
        return DocumentFile(document_text(text, path, largest=LARGEST_BYTES), packed=True)
    return DocumentFile(text, packed=False)


def parse_file(path: Path) -> Node:
    """The JSON document in a file; InputError with line and column when it is none."""
    return parse_text(read_file(path).text, path)


def parse_text(text: str, path: Path) -> Node:
    """The JSON document of a text. Raises: InputError, which calls it `path`."""
    if not text.strip():
        raise InputError("the file is empty; a plan document is needed", path=path)
    file = parse_json(text, str(path))
    return Node(file, (), file.tree)


_RANKED = re.compile(r"(?P<path>.*)#(?P<rank>[^#/]*)", re.DOTALL)
_RANK = re.compile(r"0*[1-9][0-9]{0,8}", re.ASCII)


def split_rank(reference: str) -> tuple[Path, int]:
    """`plans.json#2` → (plans.json, 2). Without `#rank` the first plan is meant, and a file whose
    own name has a `#` is taken as it is."""
    match = _RANKED.fullmatch(reference)
    if match is None or Path(reference).is_file():
        return Path(reference), 1
    rank = match["rank"]
    if _RANK.fullmatch(rank) is None:
        raise InputError(
            f'"#{rank}" is not a rank; ranks are whole numbers from 1, as in plans.json#1',
            path=reference,
        )
    return Path(match["path"]), int(rank)
