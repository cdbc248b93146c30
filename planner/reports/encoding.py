"""A stand-in for every character that the encoding of a stream lacks."""

from __future__ import annotations

import codecs
from typing import TextIO

FALLBACK = "planner-ascii"
ASCII = str.maketrans(
    {"×": "x", "·": "*", "•": "*", "█": "#", "─": "-", "≥": ">", "≤": "<", "—": "-", "–": "-",
     "−": "-", "…": "~", "µ": "u", "→": ">", "’": "'", "“": '"', "”": '"'}
)  # fmt: skip


def _replace(error: UnicodeError) -> tuple[str, int]:
    """One ASCII character for each that the encoding lacks, so that columns stay aligned."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(c if c.isascii() else "?" for c in lacking.translate(ASCII)), error.end


def prepare_stream(stream: TextIO) -> None:
    """Makes writing to the stream never fail for want of a character."""
    codecs.register_error(FALLBACK, _replace)
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors=FALLBACK)
