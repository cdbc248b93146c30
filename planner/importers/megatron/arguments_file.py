"""Megatron-LM's arguments as YAML: the `MODEL_ARGS` of its functional tests' model_config.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from planner.importers.megatron.command import Command, CommandWord, Flag
from planner.importers.megatron.table import canonical
from planner.importers.shell.text import Origin

if TYPE_CHECKING:
    from planner.importers.source import Source
    from planner.specs.files.document import Document, Location

_KEY = "MODEL_ARGS"
_MARK = re.compile(rf"^{_KEY}:[ \t]*(?:#.*)?$", re.MULTILINE)


def looks_like_arguments(text: str) -> bool:
    return _MARK.search(text) is not None


def arguments_command(source: Source) -> Command:
    """The command of a file of arguments. Values that are true are switches, false and nothing
    leave a flag out. Raises: InputError for what is not YAML, or not of this form."""
    document = source.yaml()
    arguments = document.tree.get(_KEY) if isinstance(document.tree, dict) else None
    if not isinstance(arguments, dict):
        raise source.error(f"{_KEY} is not a mapping of flags")
    return Command(
        script="",
        origin=_place(document, (_KEY,)),
        condition="",
        flags=tuple(_flags(document, arguments)),
    )


def _flags(document: Document, arguments: dict[str, Any]) -> Iterator[Flag]:
    for name, value in arguments.items():
        at = (_KEY, name)
        if not name.startswith("--"):
            raise document.error(f"{name[:40]!r} is not a flag; flags begin with --", at)
        if value is None or value is False:
            continue
        words = () if value is True else tuple(_words(document, value, at))
        yield Flag(canonical(name), words, _place(document, at))


def _words(document: Document, value: Any, at: Location) -> Iterator[CommandWord]:
    """A text with blanks is several words, as in a shell; so is a list."""
    if isinstance(value, dict):
        raise document.error("expected a value or a list", at)
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _words(document, item, (*at, index))
        return
    origin = _place(document, at)
    for match in re.finditer(r"\S+", str(value)):
        yield CommandWord(match[0], origin.after(match.start()))


def _place(document: Document, at: Location) -> Origin:
    place = document.marks[at].place
    return Origin(document.path, place.line, place.column)
