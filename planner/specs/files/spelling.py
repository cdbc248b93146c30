"""The nearest known spelling of a word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 200
"""Characters beyond which a word is no misspelling of anything."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known spelling closest to a word, when one is close."""
    if len(word) > LONGEST:
        return None
    words = list(known)
    lowered = [one.lower() for one in words]
    matches = difflib.get_close_matches(word.lower(), lowered, n=1)
    return words[lowered.index(matches[0])] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The question that ends a message, when a known spelling is close."""
    near = nearest(word, known)
    return f"did you mean {near}?" if near else None
