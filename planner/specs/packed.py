"""Sequences of unequal length that are packed into one of the job's sequence length."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.specs import ranges
from planner.specs.files.text_file import decode, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NUMBERS = re.compile(r"[-+0-9., ]*")
"""A text that means numbers, right or wrong, and no file."""


@dataclass(frozen=True, slots=True)
class PackedLengths:
    """Tokens. `each`: of the sequence that a token is in, on average; `longest`: of the longest."""

    each: int
    longest: int


def packed_lengths(lengths: str | Path | Iterable[int]) -> PackedLengths:
    """A token is in a sequence of sum l² over sum l tokens on average. Scores of causal attention
    are half a square for each sequence, so that many tokens attend to as many keys as in sequences
    of this length. `lengths`: a file with one a line, or with several of them with commas between,
    or their numbers.

    Raises: InputError, with the place in a file.
    """
    tokens = squares = longest = 0
    for length in _listed(lengths) if isinstance(lengths, str | Path) else lengths:
        found = ranges.whole("--packed-lengths", length, most=ranges.LONGEST_SEQUENCE) or 0
        tokens += found
        squares += found * found
        longest = max(longest, found)
    if not tokens:
        raise InputError("--packed-lengths: no length of a sequence is given")
    return PackedLengths(each=round(squares / tokens), longest=longest)


def _listed(given: str | Path) -> Iterator[int]:
    text = str(given)
    if isinstance(given, str) and _NUMBERS.fullmatch(text):
        for part in text.split(","):
            word = part.strip()
            if not (word.isascii() and word.isdigit()):
                raise InputError(
                    f"--packed-lengths: {word[:40]!r} is not the length of a sequence in tokens"
                )
            yield int(word[:20])
        return
    content = decode(read_bytes(Path(given)), given)
    for number, line in enumerate(content.splitlines(), start=1):
        for part in line.partition("#")[0].replace(",", " ").split():
            if not (part.isascii() and part.isdigit()):
                raise InputError(
                    f"{part[:40]!r} is not the length of a sequence in tokens",
                    path=given,
                    line=number,
                    column=line.index(part) + 1,
                )
            yield int(part[:20])
