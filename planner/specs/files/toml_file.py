"""TOML with places: the line of every table and key."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from planner.errors import InputError
from planner.specs.files.document import Document, Mark
from planner.specs.files.text_file import Place

if TYPE_CHECKING:
    from pathlib import Path

    from planner.specs.files.document import Location

_TABLE = re.compile(r"^[ \t]*\[([^\[\]]+)\][ \t]*(?:#.*)?$")
_KEY = re.compile(r"^[ \t]*([A-Za-z0-9_.-]+)[ \t]*=[ \t]*")
_WHERE = re.compile(r" \(at line (\d+), column (\d+)\)$")


def parse_toml(text: str, path: Path | str) -> Document:
    """Raises: InputError, with line and column, for what is not TOML."""
    try:
        tree = _plain(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        said = str(error)
        where = _WHERE.search(said)
        raise InputError(
            f"not valid TOML: {said[: where.start()] if where else said[:100]}",
            path=str(path),
            line=int(where[1]) if where else None,
            column=int(where[2]) if where else None,
        ) from error
    return Document(path=str(path), tree=tree, marks=_marks(text, str(path)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return tuple(_plain(one) for one in value)
    return value if isinstance(value, str | bool | int | float) else str(value)


def _marks(text: str, path: str) -> dict[Location, Mark]:
    """Places of tables, and of values that begin on the line of their key."""
    marks: dict[Location, Mark] = {(): Mark(path, Place(1, 1), ())}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        opened = _TABLE.match(line)
        if opened is not None:
            table = tuple(part.strip().strip("\"'") for part in opened[1].split("."))
            marks[table] = Mark(path, Place(number, 1), table)
            continue
        key = _KEY.match(line)
        if key is not None:
            location = (*table, *key[1].split("."))
            marks[location] = Mark(path, Place(number, key.end() + 1), location)
    return marks
