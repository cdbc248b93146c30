"""Files that are known and not read: how to recognise each, what it is, and what to give."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OtherFile:
    """`pattern`: what the text of such a file holds; `is_a`: what the file is; `instead`: what to
    give."""

    pattern: re.Pattern[str]
    is_a: str
    instead: str


def first_known(files: Iterable[OtherFile], text: str) -> OtherFile | None:
    """The first that a text is one of."""
    return next((one for one in files if one.pattern.search(text)), None)
