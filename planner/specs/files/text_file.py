"""Files as text: read whole, checked to be UTF-8, with places in them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from planner.errors import InputError

LARGEST_BYTES = 8 * 2**20

_NOT_TEXT = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A line and a column of a file, both from 1."""

    line: int
    column: int


def read_bytes(path: Path, *, largest: int = LARGEST_BYTES) -> bytes:
    """The bytes of a regular file. Raises: InputError, for everything that can go wrong."""
    try:
        if path.is_dir():
            raise InputError("is a folder; a file is needed", path=path)
        if path.exists() and not path.is_file():
            raise InputError("is not a regular file", path=path)
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= largest:
                return file.read()
    except FileNotFoundError as error:
        raise InputError("no such file", path=path) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot be read: {reason}", path=str(path)[:200]) from error
    raise InputError(
        f"is {size / 2**20:.0f} MiB; at most {largest // 2**20} MiB are read", path=path
    )


def decode(data: bytes, path: Path | str) -> str:
    """The text of a UTF-8 file, without a byte-order mark. Raises: InputError with the place."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        place = place_of(before, len(before))
        raise InputError(
            "not UTF-8 text; save the file as UTF-8",
            path=path,
            line=place.line,
            column=place.column,
        ) from error
    bad = _NOT_TEXT.search(text)
    if bad:
        place = place_of(text, bad.start())
        raise InputError(
            f"character U+{ord(bad[0]):04X} is not text; is this a binary file?",
            path=path,
            line=place.line,
            column=place.column,
        )
    return text


def place_of(text: str, index: int) -> Place:
    """The place of a character of a text."""
    return Place(text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1)
