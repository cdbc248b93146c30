"""Text that remembers the file and place where it was written."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Origin:
    """A place in a file: line and column from 1."""

    path: str
    line: int
    column: int

    def after(self, characters: int) -> Origin:
        return Origin(self.path, self.line, self.column + characters)


NOWHERE = 0
"""The line number of text that is in no file: it gets the place where it is first used."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of characters that stand next to each other in the file.

    `doubt` says why more text, unknown here, may stand in its place (a `maybe` was seen in one
    branch). `unset` names a variable or argument that the file leaves to the environment; the
    shell would put nothing here. `quoted`: word splitting leaves the piece whole.
    """

    text: str
    origin: Origin
    quoted: bool = False
    doubt: str = ""
    maybe: str = ""
    unset: str = ""


Text = tuple[Piece, ...]


def plain(text: Text) -> str:
    """The characters; unknown parts are empty."""
    return "".join(piece.text for piece in text)


def doubt_of(text: Text) -> str:
    """Why some part is unknown; empty when all of it is known."""
    return next((piece.doubt for piece in text if piece.doubt), "")


def unset_in(text: Text) -> tuple[str, ...]:
    """Variables that the file leaves to the environment."""
    return tuple(dict.fromkeys(piece.unset for piece in text if piece.unset))


def is_known(text: Text) -> bool:
    return not any(piece.doubt or piece.unset for piece in text)


def requoted(text: Text, *, quoted: bool) -> Text:
    if all(piece.quoted == quoted for piece in text):
        return text
    return tuple(replace(piece, quoted=quoted) for piece in text)


def cut(text: Text, start: int, stop: int) -> Text:
    """Characters `start` to `stop`, each with its place."""
    kept: list[Piece] = []
    at = 0
    for piece in text:
        end = at + len(piece.text)
        first, last = max(start, at), min(stop, end)
        if first < last:
            part = piece.text[first - at : last - at]
            kept.append(replace(piece, text=part, origin=piece.origin.after(first - at)))
        at = end
    return tuple(kept)


def merged(one: Text, other: Text, why: str, origin: Origin) -> Text:
    """What is known when one of two texts holds and it is unknown which: their common start, then a
    doubt where they differ."""
    if [(p.text, p.doubt, p.unset) for p in one] == [(p.text, p.doubt, p.unset) for p in other]:
        return one
    shorter, longer = sorted((one, other), key=lambda text: len(plain(text)))
    start, whole = plain(shorter), plain(longer)
    if not whole.startswith(start):
        maybe = f"{plain(one)} | {plain(other)}"
        return (Piece("", origin, doubt=why, maybe=maybe),)
    rest = cut(longer, len(start), len(whole))
    place = rest[0].origin if rest else origin
    return (*shorter, Piece("", place, doubt=why, maybe=whole[len(start) :]))


@dataclass(frozen=True, slots=True)
class Script:
    """Shell source to parse: characters, and the origin of each by the starts of its runs.
    `unknown` has the parts that are not known, by the index of the character in their place."""

    text: str
    starts: tuple[int, ...]
    origins: tuple[Origin, ...]
    unknown: Mapping[int, Piece] = field(default_factory=dict)

    def origin(self, index: int) -> Origin:
        run = max(0, bisect_right(self.starts, index) - 1)
        return self.origins[run].after(max(0, index - self.starts[run]))


def script_of_file(text: str, path: str) -> Script:
    starts = [0]
    starts += [index + 1 for index, character in enumerate(text) if character == "\n"]
    origins = tuple(Origin(path, number, 1) for number in range(1, len(starts) + 1))
    return Script(text, tuple(starts), origins)


def script_of_text(pieces: Iterable[Piece], fallback: Origin) -> Script:
    """Source made from a value, as `bash -c "$COMMAND"` runs it."""
    starts, origins, texts = [0], [fallback], []
    unknown: dict[int, Piece] = {}
    length = 0
    for piece in pieces:
        if piece.doubt or piece.unset:
            unknown[length] = piece
        text = UNKNOWN if length in unknown else piece.text
        if text:
            starts.append(length)
            origins.append(piece.origin)
            texts.append(text)
            length += len(text)
    return Script("".join(texts), tuple(starts), tuple(origins), unknown)


UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands for an unknown part in source made from a value."""
