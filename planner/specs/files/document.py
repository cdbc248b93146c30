"""A document: content, and where each part of it stands in which file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from planner.errors import InputError
from planner.specs.files.text_file import Place

Key: TypeAlias = str | int
Location: TypeAlias = tuple[Key, ...]
Tree: TypeAlias = Any
"""None, bool, int, float, str, tuple[Tree, ...] or dict[str, Tree]."""

DEEPEST = 40
MOST_KEYS = 10_000
"""Keys of one mapping: a hundred times what any file of the planner has."""
MOST_VALUES = 1_000_000
"""Values of one document: as many as a cluster has hosts at most."""
_LONGEST_SHOWN = 60
_DEEPEST_SHOWN = 12


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
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            name = part if part.isprintable() else repr(part)
            name = name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…"
            shown += f".{name}" if shown else name
    return shown if len(location) <= _DEEPEST_SHOWN else ""
