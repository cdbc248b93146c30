"""A file to import: its text without terminal control codes, and errors that name places in it."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from planner.errors import InputError
from planner.specs.files.document import Document
from planner.specs.files.text_file import decode, place_of, read_bytes
from planner.specs.files.yaml_file import parse_document

LARGEST_BYTES = 64 * 2**20
STDIN = "-"

_CONTROL_CODES = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][A-Za-z0-9]|\x1b[=>]|\r+(?=\n)")
_BACKSPACES = re.compile(rb".\x08")


@dataclass(frozen=True, slots=True)
class Source:
    """`path` is what the user calls the file. Lines end in \n, whatever the file has. `beside`:
    texts of files that it reads, by their paths, in place of what the disk has."""

    path: str
    text: str
    sha256: str
    beside: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last part of the path, for provenance, so that no folder names leak out."""
        return "standard input" if self.path == STDIN else Path(self.path).name

    @property
    def stem(self) -> str:
        return "imported" if self.path == STDIN else Path(self.path).stem

    def error(
        self,
        message: str,
        line: int | None = None,
        column: int | None = None,
        *,
        hint: str | None = None,
    ) -> InputError:
        return InputError(message, path=self.path, line=line, column=column, hint=hint)

    def error_at(self, message: str, index: int, *, hint: str | None = None) -> InputError:
        """An error at a character of the text."""
        place = place_of(self.text, index)
        return self.error(message, place.line, place.column, hint=hint)

    def error_naming(self, message: str, *words: str) -> InputError:
        """An error at the first of the words that occurs in the text; without any, about the whole
        file."""
        for word in words:
            index = self.text.find(word) if word else -1
            if index >= 0:
                return self.error_at(message, index)
        return self.error(message)

    def yaml(self) -> Document:
        """The content of a YAML file of another program, anchors and merge keys included. Raises:
        InputError for what is not YAML."""
        return parse_document(self.text, self.path, self.sha256, aliases=True)

    def lines(self) -> list[str]:
        return self.text.split("\n")


def load_source(path: str, *, largest: int = LARGEST_BYTES) -> Source:
    """Reads a file, or standard input for "-". Raises: InputError."""
    if path == STDIN:
        data = sys.stdin.buffer.read(largest + 1)
        if len(data) > largest:
            raise InputError(f"more than {largest // 2**20} MiB", path=path)
    else:
        data = read_bytes(Path(path), largest=largest)
    return source_of(data, path)


def source_of(data: bytes, path: str) -> Source:
    """A source from bytes. Raises: InputError for what is not text."""
    plain = _CONTROL_CODES.sub(b"", data)
    plain = _BACKSPACES.sub(b"", plain).replace(b"\x00", b"") if b"\x08" in plain else plain
    text = decode(plain, path).replace("\r", "\n")
    return Source(path=path, text=text, sha256=hashlib.sha256(data).hexdigest())
