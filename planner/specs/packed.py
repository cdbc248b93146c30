"""Sequences of unequal length that are packed into one of the job's sequence length."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.specs import ranges
from planner.specs.files.text_file import decode, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def packed_length(lengths: str | Path | Iterable[int]) -> int:
    """Tokens of the sequence that a token is in, on average: the sum of l² over the sum of l.
    Scores of causal attention are half a square for each sequence, so that many tokens attend to
    as many keys as in sequences of this length. `lengths`: a file with one a line, or with several
    of them with commas between, or their numbers.

    Raises: InputError, with the place in a file.
    """
    tokens = squares = 0
    for length in _in_file(lengths) if isinstance(lengths, str | Path) else lengths:
        found = ranges.whole("--packed-lengths", length, most=ranges.LONGEST_SEQUENCE) or 0
        tokens += found
        squares += found * found
    if not tokens:
        raise InputError("--packed-lengths: no length of a sequence is given")
    return round(squares / tokens)


def _in_file(given: str | Path) -> Iterator[int]:
    text = str(given)
    if isinstance(given, str) and all(part.strip().isdecimal() for part in text.split(",")):
        yield from (int(part[:20]) for part in text.split(","))
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
