"""The documents as tests see them: fenced blocks, and the commands in them with their output."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "runs" / "README.md"]
)

_FENCE = re.compile(r"^( *)```([a-z]*) ?([^\n`]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
ANYTHING = "…"
"""A line of shown output that stands for any lines."""


@dataclass(frozen=True)
class Fence:
    """A fenced block. `title` is what stands behind the language: the file that it is."""

    document: Path
    line: int
    language: str
    title: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A line that begins with `$ `, and the lines that are shown below it."""

    line: str
    output: str
    where: str

    def shows(self, printed: str) -> bool:
        """Whether a command printed what the document shows of it; nothing shown: anything."""
        pattern = "".join(
            r"(?:.*\n)*?" if line == ANYTHING else re.escape(f"{line}\n")
            for line in self.output.splitlines()
        )
        return not self.output or re.fullmatch(pattern, printed) is not None


def fences(document: Path) -> Iterator[Fence]:
    text = document.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        indent, language, title, inside = found.groups()
        lines = [line.removeprefix(indent) for line in inside.splitlines(keepends=True)]
        line = text.count("\n", 0, found.start()) + 1
        yield Fence(document, line, language, title, "".join(lines))


def commands(fence: Fence) -> Iterator[Command]:
    """The commands of a console block. Raises: AssertionError for output above the first."""
    for part in re.split(r"^\$ ", fence.text, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        yield Command(line, output, fence.where)
    assert fence.text.startswith("$ "), fence.where


def prose(document: Path) -> str:
    """A document without its fenced blocks."""
    return _FENCE.sub("", document.read_text(encoding="utf-8"))
