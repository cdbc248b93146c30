"""A position in a script, and where the brackets and quotes that open there close."""

from __future__ import annotations

from planner.errors import InputError
from planner.importers.shell.text import Origin, Script

DEEPEST = 40


class Position:
    """A position in a script, with the depth of nesting there."""

    def __init__(self, script: Script, *, depth: int = 0) -> None:
        self.script = script
        self.text = script.text
        self.index = 0
        self.end = len(script.text)
        self.depth = depth

    def origin(self, index: int | None = None) -> Origin:
        return self.script.origin(self.index if index is None else index)

    def error(self, message: str, index: int | None = None) -> InputError:
        place = self.origin(index)
        return InputError(
            f"shell: {message}", path=place.path, line=place.line, column=place.column
        )

    def enter(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error(f"nested more than {DEEPEST} deep")

    def leave(self) -> None:
        self.depth -= 1

    def starts(self, prefix: str) -> bool:
        return self.text.startswith(prefix, self.index)

    def skip_continuation(self) -> bool:
        """Skips a backslash at the end of a line, which joins two lines; a carriage return from
        another system may come between."""
        for end in ("\\\n", "\\\r\n"):
            if self.starts(end):
                self.index += len(end)
                return True
        return False

    def end_of_arithmetic(self, opening: int) -> int | None:
        """Index of the )) that closes the (( at `opening`; None where these are parentheses of
        commands, as in $((a; b) | c)."""
        depth = 0
        for index in range(opening, self.end):
            depth += {"(": 1, ")": -1}.get(self.text[index], 0)
            if depth == 1 and index > opening:
                return index if self.text.startswith("))", index, self.end) else None
        return None

    def closing_backquote(self, start: int) -> int:
        index = start + 1
        while index < self.end and self.text[index] != "`":
            index += 2 if self.text[index] == "\\" else 1
        if index >= self.end:
            raise self.error("a ` that is not closed", start)
        return index

    def closing_bracket(self, opening: int) -> int | None:
        """The bracket that closes the one at `opening`, if one does on its line."""
        depth = 0
        for index in range(opening, self.end):
            depth += {"[": 1, "]": -1}.get(self.text[index], 0)
            if depth == 0:
                return index
            if self.text[index] == "\n":
                break
        return None
