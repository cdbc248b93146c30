"""Strict YAML with positions.

The subset that people write: mappings with text keys, sequences, and scalars by the YAML 1.2 core
rules (`4e11` is a number, `on` and `no` are text). Refused, with the place: duplicate keys,
anchors, aliases, merge keys, tags, several documents, tabs in the indentation, numbers that do not
fit, nesting beyond `DEEPEST`, and files that are not UTF-8 text of reasonable size.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from planner.errors import InputError

Key: TypeAlias = str | int
Location: TypeAlias = tuple[Key, ...]
Tree: TypeAlias = Any
"""None, bool, int, float, str, tuple[Tree, ...] or dict[str, Tree]."""

LARGEST_BYTES = 8 * 2**20
DEEPEST = 40

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[+-]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?\.(inf|Inf|INF|nan|NaN|NAN)")
_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LONGEST_INT = 30
_NOT_TEXT = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_TAB_INDENT = re.compile(r"^ *\t", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Place:
    """A line and a column of a file, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a part of a document stands: which file, at what place, and its field path there."""

    path: str
    place: Place
    location: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Content and where each part of it stands. Values and keys have places of their own."""

    path: str
    tree: Tree
    sha256: str = ""
    marks: dict[Location, Mark] = field(default_factory=dict)
    key_marks: dict[Location, Mark] = field(default_factory=dict)

    def error(
        self, message: str, location: Location = (), *, key: bool = False, hint: str | None = None
    ) -> InputError:
        """An error at a part of the document, or at the nearest part around it."""
        found = location
        marks = self.key_marks if key and location in self.key_marks else self.marks
        while found and found not in marks:
            found = found[:-1]
        mark = marks.get(found)
        shown = show_location(mark.location + location[len(found) :] if mark else location)
        text = f"{shown}: {message}" if shown else message
        if mark is None:
            return InputError(text, path=self.path, hint=hint)
        line, column = mark.place.line, mark.place.column
        return InputError(text, path=mark.path, line=line, column=column, hint=hint)

    def part(self, location: Location) -> Document:
        """The document below a location, with the places it had."""
        tree = self.tree
        for key in location:
            tree = tree[key]
        part = Document(path=self.path, tree=tree)
        for below in _locations(tree):
            if location + below in self.marks:
                part.marks[below] = self.marks[location + below]
            if location + below in self.key_marks:
                part.key_marks[below] = self.key_marks[location + below]
        return part

    def merged(self, over: Document) -> Document:
        """This document with the entries of another laid over it; mappings merge entry by entry,
        anything else is replaced. Each part keeps the place it came from."""
        merged = Document(
            path=over.path,
            tree=_merge(self.tree, over.tree),
            marks=dict(over.marks),
            key_marks=dict(over.key_marks),
        )
        for location in _locations(merged.tree):
            if location not in merged.marks and location in self.marks:
                merged.marks[location] = self.marks[location]
            if location not in merged.key_marks and location in self.key_marks:
                merged.key_marks[location] = self.key_marks[location]
        return merged


def _locations(tree: Tree, above: Location = ()) -> Iterator[Location]:
    yield above
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _locations(value, (*above, key))
    elif isinstance(tree, tuple):
        for index, value in enumerate(tree):
            yield from _locations(value, (*above, index))


def _merge(base: Tree, over: Tree) -> Tree:
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return {**base, **{key: _merge(base.get(key), value) for key, value in over.items()}}


def document_of(mapping: Mapping[str, object], name: str) -> Document:
    """A document from plain Python values in the same form as the file; it has no places.

    Raises: InputError for values that no file could hold.
    """
    return Document(path=name, tree=_as_tree(mapping, name, 0))


def _as_tree(value: object, name: str, depth: int) -> Tree:
    if depth > DEEPEST:
        raise InputError(f"nested more than {DEEPEST} deep", path=name)
    if isinstance(value, Mapping):
        return {str(key): _as_tree(item, name, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_as_tree(item, name, depth + 1) for item in value)
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{value} is not a finite number", path=name)
    return value


def show_location(location: Location) -> str:
    """("node_groups", 0, "count") → "node_groups[0].count"."""
    shown = ""
    for part in location:
        shown += f"[{part}]" if isinstance(part, int) else f".{part}" if shown else part
    return shown


def read_bytes(path: Path, *, largest: int = LARGEST_BYTES) -> bytes:
    """The bytes of a regular file. Raises: InputError, for everything that can go wrong."""
    try:
        if path.is_dir():
            raise InputError("is a folder; a file is needed", path=path)
        if path.exists() and not path.is_file():
            raise InputError("is not a regular file", path=path)
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= largest:
                return file.read()
    except FileNotFoundError as error:
        raise InputError("no such file", path=path) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot be read: {reason}", path=str(path)[:200]) from error
    raise InputError(
        f"is {size / 2**20:.0f} MiB; at most {largest // 2**20} MiB are read", path=path
    )


def decode(data: bytes, path: Path | str) -> str:
    """The text of a UTF-8 file, without a byte-order mark. Raises: InputError with the place."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        place = _place(before, len(before))
        raise InputError(
            "not UTF-8 text; save the file as UTF-8",
            path=path,
            line=place.line,
            column=place.column,
        ) from error
    bad = _NOT_TEXT.search(text)
    if bad:
        place = _place(text, bad.start())
        raise InputError(
            f"character U+{ord(bad[0]):04X} is not text; is this a binary file?",
            path=path,
            line=place.line,
            column=place.column,
        )
    return text


def _place(text: str, index: int) -> Place:
    return Place(text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1)


def load_document(path: Path) -> Document:
    """Read and parse one YAML file. Raises: InputError with file, line and column."""
    data = read_bytes(path)
    return parse_document(decode(data, path), path, hashlib.sha256(data).hexdigest())


def parse_document(text: str, path: Path | str, sha256: str = "") -> Document:
    """Parse YAML text; `path` is for messages. Raises: InputError with file, line and column."""
    document = Document(path=str(path), tree=None, sha256=sha256)
    tab = _TAB_INDENT.search(text)
    if tab:
        place = _place(text, tab.end() - 1)
        raise _error(document, place, "a tab in the indentation; YAML wants spaces")
    try:
        tree = _Builder(document).build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(document, error) from error
    except yaml.YAMLError as error:
        raise InputError("not valid YAML", path=path) from error
    return Document(
        path=document.path,
        tree=tree,
        sha256=sha256,
        marks=document.marks,
        key_marks=document.key_marks,
    )


def _error(document: Document, place: Place, message: str) -> InputError:
    return InputError(message, path=document.path, line=place.line, column=place.column)


def _syntax_error(document: Document, error: yaml.MarkedYAMLError) -> InputError:
    where = error.problem_mark or error.context_mark
    problem = " ".join(part for part in (error.context, error.problem) if part)
    place = Place(1, 1) if where is None else Place(where.line + 1, where.column + 1)
    return _error(document, place, f"not valid YAML: {problem}")


def _place_of(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not come yet."""

    location: Location
    content: dict[str, Tree] | list[Tree]
    key: str | None = None


class _Builder:
    """Builds the tree from parser events without recursion."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: list[_Open] = []
        self._root: Tree = None

    def build(self, events: Iterator[yaml.Event]) -> Tree:
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refuse(event, "a second document; one file holds one")
            elif isinstance(event, yaml.AliasEvent):
                raise self._refuse(event, f"alias *{event.anchor}; write the value out")
            elif isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()
        if not documents:
            raise self._refuse(None, "the file is empty")
        return self._root

    def _refuse(self, event: yaml.Event | None, message: str) -> InputError:
        place = Place(1, 1) if event is None else _place_of(event)
        location = self._open[-1].location if self._open else ()
        shown = show_location(location)
        return _error(self._document, place, f"{shown}: {message}" if shown else message)

    def _node(self, event: Any) -> None:
        if event.anchor is not None:
            raise self._refuse(event, f"anchor &{event.anchor}; anchors and aliases are not read")
        if event.tag is not None:
            raise self._refuse(event, f"tag {event.tag}; tags are not read")
        parent = self._open[-1] if self._open else None
        if parent is not None and isinstance(parent.content, dict) and parent.key is None:
            self._key(event, parent)
        elif isinstance(event, yaml.ScalarEvent):
            self._add(self._scalar(event), event)
        else:
            if len(self._open) >= DEEPEST:
                raise self._refuse(event, f"nested more than {DEEPEST} deep")
            content: dict[str, Tree] | list[Tree] = (
                {} if isinstance(event, yaml.MappingStartEvent) else []
            )
            self._open.append(_Open(self._locate(event), content))

    def _key(self, event: Any, parent: _Open) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._refuse(event, "a key must be text")
        name = event.value
        if name == "<<" and not event.style:
            raise self._refuse(event, "merge key <<; write the entries out")
        if isinstance(parent.content, dict) and name in parent.content:
            first = self._document.key_marks[(*parent.location, name)]
            raise self._refuse(
                event, f"key {name!r} again; it is already on line {first.place.line}"
            )
        parent.key = name
        location = (*parent.location, name)
        self._document.key_marks[location] = Mark(self._document.path, _place_of(event), location)

    def _locate(self, event: yaml.Event) -> Location:
        location: Location = ()
        if self._open:
            parent = self._open[-1]
            last: Key = len(parent.content) if parent.key is None else parent.key
            location = (*parent.location, last)
        self._document.marks[location] = Mark(self._document.path, _place_of(event), location)
        return location

    def _add(self, value: Tree, event: yaml.Event | None) -> None:
        if event is not None:
            self._locate(event)
        if not self._open:
            self._root = value
            return
        parent = self._open[-1]
        if isinstance(parent.content, list):
            parent.content.append(value)
        elif parent.key is not None:
            parent.content[parent.key] = value
            parent.key = None

    def _close(self) -> None:
        done = self._open.pop()
        self._add(done.content if isinstance(done.content, dict) else tuple(done.content), None)

    def _scalar(self, event: Any) -> Tree:
        text: str = event.value
        if event.style:
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INT.fullmatch(text):
            if len(text) > _LONGEST_INT:
                raise self._refuse(event, f"number {text[:12]}… has {len(text)} digits")
            return int(text)
        if _NOT_FINITE.fullmatch(text):
            raise self._refuse(event, f"{text} is not a finite number")
        if _FLOAT.fullmatch(text):
            number = float(text)
            if not math.isfinite(number):
                raise self._refuse(event, f"{text[:40]} is too large for a number")
            return number
        return text
