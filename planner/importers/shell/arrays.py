"""Elements of arrays, some of which may be unknown text that the shell would split into several."""

from __future__ import annotations

import re

from planner.importers.shell.state import Array
from planner.importers.shell.syntax import Parameter
from planner.importers.shell.text import Piece, Text, doubt_of, unset_in


def element(part: Parameter, array: Array, key: str) -> Text | None:
    """The element with a key. It is unknown where the key is not known, and where an element before
    it may be several."""
    elements = list(array.values())
    if re.fullmatch(r"-[0-9]{1,6}", key):
        counted = elements[int(key) :] if int(key) >= -len(elements) else elements
        if not any(map(_may_be_several, counted)):
            return counted[0] if len(counted) == -int(key) else None
    elif "$" not in key:
        before = elements[: list(array).index(key)] if key in array else elements
        if not key.isdigit() or not any(map(_may_be_several, before)):
            return array.get(key)
    doubt = f"${{{part.name}[{part.index[:40]}]}} is known only when the script runs"
    return (Piece("", part.origin, part.quoted, doubt=doubt),)


def _may_be_several(element: Text) -> bool:
    """Whether an element of an array is unknown text that the shell would split into words."""
    return any((piece.doubt or piece.unset) and not piece.quoted for piece in element)


def count(part: Parameter, elements: list[Text]) -> Piece:
    """${#NAME[@]}, ${#@}"""
    unknown = next((element for element in elements if _may_be_several(element)), None)
    if unknown is None:
        return Piece(str(len(elements)), part.origin)
    names = unset_in(unknown)
    if names and not doubt_of(unknown):
        return Piece("", part.origin, part.quoted, unset=names[0])
    return Piece("", part.origin, part.quoted, doubt=doubt_of(unknown))
