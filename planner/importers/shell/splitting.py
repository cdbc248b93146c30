"""Splits the text of a word into fields, the words that a command gets."""

from __future__ import annotations

import re
from dataclasses import replace

from planner.importers.shell.expansion import checked, texts_of
from planner.importers.shell.state import ShellState
from planner.importers.shell.syntax import Parameter, Word
from planner.importers.shell.text import Piece, Text

_BLANKS = re.compile(r"([ \t\n]+)")


def fields(word: Word, state: ShellState) -> list[Text]:
    """The words that a word of a command expands to; one whose text is unknown stays one field."""
    found: list[list[Piece]] = []
    current: list[Piece] | None = None
    for part in word.parts:
        texts = texts_of(part, state)
        if not texts and _is_only_list(word):
            return []
        for number, field in enumerate(texts):
            if number:
                if current is not None:
                    found.append(current)
                current = []
            for piece in field:
                current = _appended(piece, current, found)
    if current is not None:
        found.append(current)
    return [checked(tuple(one), word.origin) for one in found]


def _is_only_list(word: Word) -> bool:
    """Whether a word is "${LIST[@]}" and nothing else: without elements it expands to no word."""
    return len(word.parts) == 2 and isinstance(word.parts[1], Parameter) and word.parts[1].quoted


def _appended(
    piece: Piece, current: list[Piece] | None, found: list[list[Piece]]
) -> list[Piece] | None:
    """Continues with a piece: an unknown piece without quotes is a field of its own if a blank
    before it starts one."""
    if piece.quoted or not piece.text:
        apart = bool(piece.doubt) and not piece.quoted and piece.maybe[:1].isspace()
        if apart and current is not None:
            found.append(current)
            current = None
        if piece.quoted or piece.doubt or piece.unset or current is not None:
            return _onto(current, piece)
        return current
    return _split(piece, current, found)


def _onto(current: list[Piece] | None, piece: Piece) -> list[Piece]:
    """Adds a piece to the open field, or to a new one; an unknown part that says what the one
    before it says adds nothing."""
    if not current:
        return [piece]
    if piece.text or replace(piece, origin=current[-1].origin) != current[-1]:
        current.append(piece)
    return current


def _split(
    piece: Piece, current: list[Piece] | None, found: list[list[Piece]]
) -> list[Piece] | None:
    """Adds the parts of a piece between blanks to the fields; the open field stays in `current`."""
    at = 0
    for index, part in enumerate(_BLANKS.split(piece.text)):
        if index % 2:
            if current is not None:
                found.append(current)
            current = None
        elif part:
            cut_out = replace(piece, text=part, origin=piece.origin.after(at))
            current = _onto(current, cut_out)
        at += len(part)
    return current
