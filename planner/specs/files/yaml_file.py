"""Strict YAML with positions.

The subset that people write: mappings with text keys, sequences, and scalars by the YAML 1.2 core
rules (`4e11` is a number, `on` and `no` are text). Refused, with the place: duplicate keys, tags,
several documents, tabs in the indentation, numbers that do not fit, nesting beyond `DEEPEST`,
mappings beyond `MOST_KEYS` keys, more than `MOST_VALUES` values, and files that are not UTF-8 text
of reasonable size. Anchors, aliases and merge keys are refused too, but read in files of other
programs.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from planner.errors import InputError
from planner.specs.files.aliases import MERGE, merge_entries, without_aliases
from planner.specs.files.document import (
    DEEPEST,
    MOST_KEYS,
    MOST_VALUES,
    Document,
    Key,
    Location,
    Mark,
    Tree,
    show_location,
)
from planner.specs.files.text_file import Place, decode, place_of, read_bytes

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
_TAB_INDENT = re.compile(r"^ *\t", re.MULTILINE)


def load_document(path: Path, *, aliases: bool = False) -> Document:
    """Read and parse one YAML file. Raises: InputError with file, line and column."""
    data = read_bytes(path)
    sha256 = hashlib.sha256(data).hexdigest()
    return parse_document(decode(data, path), path, sha256, aliases=aliases)


def parse_document(
    text: str, path: Path | str, sha256: str = "", *, aliases: bool = False
) -> Document:
    """Parse YAML text; `path` is for messages.

    Args:
        aliases: Read anchors, aliases and merge keys instead of refusing them. What they stand for
            keeps the place where it is written.

    Raises: InputError with file, line and column.
    """
    document = Document(path=str(path), tree=None, sha256=sha256)
    tab = _TAB_INDENT.search(text)
    if tab:
        place = place_of(text, tab.end() - 1)
        raise _error(document, place, "a tab in the indentation; YAML wants spaces")
    try:
        tree = _Builder(document, aliases=aliases).build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        _refuse_before(document, text, error, aliases=aliases)
        raise _syntax_error(document, error) from error
    except yaml.YAMLError as error:
        raise InputError("not valid YAML", path=path) from error
    if tree is None:
        raise _error(document, Place(1, 1), "the file is empty")
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


def _refuse_before(
    document: Document, text: str, error: yaml.MarkedYAMLError, *, aliases: bool
) -> None:
    """Refuse what stands before the place of a syntax error, if anything there is to be refused.

    The scanner reads ahead of the events: nesting that `_Builder` would refuse makes some versions
    of libyaml give up first, at a place and in words of their own.
    """
    where = error.problem_mark or error.context_mark
    if where is None or where.index >= len(text):
        return
    with contextlib.suppress(yaml.YAMLError):
        _Builder(Document(path=document.path, tree=None), aliases=aliases).build(
            yaml.parse(text[: where.index], Loader=_LOADER)
        )


def _place_of(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not come yet."""

    location: Location
    content: dict[str, Tree] | list[Tree]
    key: str | None = None
    merges: bool = False
    """Whether it has a merge key."""


class _Builder:
    """Builds the tree from parser events without recursion."""

    def __init__(self, document: Document, *, aliases: bool) -> None:
        self._document = document
        self._aliases = aliases
        self._open: list[_Open] = []
        self._root: Tree = None
        self._values = 0

    def build(self, events: Iterator[yaml.Event]) -> Tree:
        documents = 0
        for event in without_aliases(events, self._refuse) if self._aliases else events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refuse(event, "a second document; one file holds one")
            elif isinstance(event, yaml.AliasEvent):
                raise self._refuse(event, f"alias *{str(event.anchor)[:60]}; write values out")
            elif isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()
        return self._root

    def _refuse(self, event: yaml.Event, message: str) -> InputError:
        location: Location = ()
        if self._open:
            parent = self._open[-1]
            location = parent.location
            if isinstance(parent.content, list):
                location = (*location, len(parent.content))
            elif parent.key is not None:
                location = (*location, parent.key)
        shown = show_location(location)
        text = f"{shown}: {message}" if shown else message
        return _error(self._document, _place_of(event), text)

    def _node(self, event: Any) -> None:
        if event.anchor is not None and not self._aliases:
            raise self._refuse(event, f"anchor &{event.anchor[:60]}; write values out")
        if event.tag is not None:
            raise self._refuse(event, f"tag {event.tag[:60]}; tags are not read")
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
        if len(parent.content) == MOST_KEYS:
            raise self._refuse(event, f"more than {MOST_KEYS:,} keys in one mapping")
        merges = name == MERGE and not event.style
        if merges and not self._aliases:
            raise self._refuse(event, "merge key <<; write the entries out")
        if isinstance(parent.content, dict) and name in parent.content:
            first = self._document.key_marks[(*parent.location, name)]
            raise self._refuse(
                event, f"key {name[:60]!r} again; it is already on line {first.place.line}"
            )
        parent.key = name
        parent.merges = parent.merges or merges
        location = (*parent.location, name)
        self._document.key_marks[location] = Mark(self._document.path, _place_of(event), location)

    def _locate(self, event: yaml.Event) -> Location:
        self._values += 1
        if self._values > MOST_VALUES:
            raise self._refuse(event, f"more than {MOST_VALUES:,} values in one file")
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
        if done.merges and isinstance(done.content, dict):
            merge_entries(self._document, done.content, done.location)
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
