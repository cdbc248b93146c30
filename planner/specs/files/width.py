"""Documents that no file needs to be as wide as, refused before each of their parts is looked at.

A message for every one of a million wrong keys costs gigabytes, and nobody reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.specs.files.annotations import entry_of, is_model, most_entries, unwrapped
from planner.specs.files.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from planner.specs.files.document import Document, Location, Tree

MOST_ENTRIES = 100_000
"""Entries of a list whose field states no limit of its own."""
MOST_UNKNOWN = 100
"""Unknown keys of a document that are listed one by one."""


def refuse_wide(document: Document, model: type[BaseModel]) -> None:
    """Raises: InputError for a list with more entries than its field may have, and for more than
    `MOST_UNKNOWN` unknown keys in all, at the first of them."""
    unknown: list[tuple[Location, type[BaseModel]]] = []
    for at, owner in _unknown_keys(document, model, document.tree, ()):
        unknown.append((at, owner))
        if len(unknown) > MOST_UNKNOWN:
            first, owner = unknown[0]
            known = tuple(owner.model_fields)
            raise document.error(
                f"unknown key, the first of more than {MOST_UNKNOWN}; allowed: {', '.join(known)}",
                first,
                key=True,
                hint=did_you_mean(str(first[-1]), known),
            )


def _unknown_keys(
    document: Document, model: type[BaseModel], tree: Tree, at: Location
) -> Iterator[tuple[Location, type[BaseModel]]]:
    """Where the unknown keys of a part stand, and the model they are unknown to."""
    for name, value in tree.items():
        field = model.model_fields.get(name)
        if field is None:
            yield (*at, name), model
        elif isinstance(value, dict):
            inner = unwrapped(field.annotation)
            if is_model(inner):
                yield from _unknown_keys(document, inner, value, (*at, name))
        elif isinstance(value, tuple):
            _refuse_long(document, field, value, (*at, name))
            entry = entry_of(unwrapped(field.annotation))
            for index, part in enumerate(value) if is_model(entry) else ():
                if isinstance(part, dict):
                    yield from _unknown_keys(document, entry, part, (*at, name, index))


def _refuse_long(
    document: Document, field: FieldInfo, value: tuple[Any, ...], at: Location
) -> None:
    most = most_entries(field) or MOST_ENTRIES
    if len(value) > most:
        raise document.error(f"takes at most {most}, found {len(value)}", at)
