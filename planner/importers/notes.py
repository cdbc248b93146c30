"""What an import read, assumed and left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from planner.wording.printable import printable


@dataclass(slots=True)
class Notes:
    """One clause each, in the order found; a repeated clause is kept once."""

    read: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, other: Notes) -> None:
        for mine, theirs in (
            (self.read, other.read),
            (self.assumed, other.assumed),
            (self.left_out, other.left_out),
        ):
            mine.extend(clause for clause in theirs if clause not in mine)

    def lines(self) -> Iterator[str]:
        """Every clause, with the word that says which kind it is."""
        for word, clauses in (
            ("read", self.read),
            ("assumed", self.assumed),
            ("left out", self.left_out),
        ):
            for clause in dict.fromkeys(clauses):
                yield f"{word}: {printable(' '.join(clause.split()))}"

    def short_lines(self) -> Iterator[str]:
        """What was read and what was left out, the clauses of each joined to lines of bearable
        length."""
        for word, clauses in (("read", self.read), ("left out", self.left_out)):
            line = ""
            for clause in dict.fromkeys(printable(" ".join(one.split())) for one in clauses):
                if line and len(line) + len(clause) > FULL_LINE:
                    yield line
                    line = ""
                line = f"{line}; {clause}" if line else f"{word}: {clause}"
            if line:
                yield line


FULL_LINE = 240
"""Characters of a line to which no further clause is joined."""
MOST_LISTED = 12
"""Most words of a list that are spelled out."""


def listed(words: list[str], *, most: int = MOST_LISTED) -> str:
    """ "a, b and 3 more": a shortened list."""
    if len(words) <= most:
        return ", ".join(words)
    return f"{', '.join(words[: most - 1])} and {len(words) - most + 1} more"
