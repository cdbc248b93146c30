"""Results of ${NAME%pattern} and its relatives for a known value."""

from __future__ import annotations

import fnmatch
import re

from planner.importers.shell.text import Origin, Piece, Text, cut, plain

LONGEST_MATCHED = 4096
"""Most characters of a value that patterns are matched against."""
CASES = ("^^", "^", ",,", ",")

_PATTERN_CHARACTERS = re.compile(r"[*?\[]")


def changed_case(value: Text, operator: str, origin: Origin) -> Text:
    """${NAME^^}, ${NAME,,}; with one character only the first letter."""
    text = plain(value)
    changed = text.upper() if operator[0] == "^" else text.lower()
    return (Piece(changed if len(operator) == 2 else changed[:1] + text[1:], origin),)


def replaced(value: Text, argument: str, operator: str, origin: Origin) -> Text:
    """${NAME/pattern/text}, with // everywhere."""
    pattern, _, replacement = argument.partition("/")
    count = 0 if operator == "//" else 1
    found = re.sub(_regex(pattern), lambda _: replacement, plain(value), count=count)
    return (Piece(found, origin),)


def trimmed(value: Text, pattern: str, operator: str) -> Text:
    """The value without the shortest (# %) or longest (## %%) start or end that matches a
    pattern.
    """
    text = plain(value)
    compiled = re.compile(_regex(pattern))
    lengths = range(len(text) + 1)
    for length in reversed(lengths) if len(operator) == 2 else lengths:
        if operator[0] == "#" and compiled.fullmatch(text[:length]):
            return cut(value, length, len(text))
        if operator[0] == "%" and compiled.fullmatch(text[len(text) - length :]):
            return cut(value, 0, len(text) - length)
    return value


def _regex(pattern: str) -> str:
    """A shell pattern as a regular expression; one without wildcards stands for itself."""
    if not _PATTERN_CHARACTERS.search(pattern):
        return re.escape(pattern)
    return fnmatch.translate(pattern).replace(r"\Z", "").replace(r"\z", "")
