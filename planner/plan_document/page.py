"""The plan document inside a page of `planner report`: packed into it, and read back from it."""

from __future__ import annotations

import base64
import re
import zlib
from pathlib import Path

from planner.errors import InputError
from planner.specs.files.text_file import decode

PAGE = "<!doctype html>"
"""What a page begins with, in any case."""
_OPENING = '<script type="text/plain" id="planner-document">'
_EMBEDDED = re.compile(re.escape(_OPENING) + r"([A-Za-z0-9+/=\s]*)</script>")


def embedded(text: str) -> str:
    """The element that holds a document: deflated (zlib) and in base64, which no name in it can
    end."""
    return f"{_OPENING}{packed(text.encode('utf-8'))}</script>"


def packed(data: bytes) -> str:
    """Bytes deflated (zlib), in base64."""
    return base64.b64encode(zlib.compress(data, level=9)).decode("ascii")


def is_page(text: str) -> bool:
    return text[:64].lstrip().lower().startswith(PAGE)


def document_text(text: str, path: Path | str, *, largest: int) -> str:
    """The document that a page holds.

    Raises: InputError for a page without a whole document of at most `largest` bytes."""
    found = _EMBEDDED.search(text)
    if found is None:
        raise InputError(
            "is an HTML page without plans; pages of planner report have them", path=path
        )
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(base64.b64decode(found[1], validate=True), largest)
    except (ValueError, zlib.error) as error:
        raise InputError("the plans in this page are damaged", path=path) from error
    if unpacking.unconsumed_tail:
        raise InputError(f"the plans in this page exceed {largest // 2**20} MiB", path=path)
    if not unpacking.eof:
        raise InputError("the plans in this page are damaged", path=path)
    return decode(data, path)
