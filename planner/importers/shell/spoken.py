"""What printf writes into a variable."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from planner.importers.shell.text import Piece, Text, cut, is_known, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIRECTIVE = re.compile(r"%[sd]")


def printed(form: Text, words: Sequence[Text]) -> Text:
    """The text of `printf form words`, for %s and %d only: another directive, an escape or a number
    of words that differs leaves it unknown."""
    written = plain(form)
    places = list(_DIRECTIVE.finditer(written))
    other = _DIRECTIVE.sub("", written)
    if not is_known(form) or "%" in other or "\\" in other or len(places) != len(words):
        return (Piece("", form[0].origin, doubt="is what printf writes"),) if form else ()
    pieces: list[Piece] = []
    at = 0
    for place, word in zip(places, words, strict=True):
        pieces += [*cut(form, at, place.start()), *word]
        at = place.end()
    return (*pieces, *cut(form, at, len(written)))
