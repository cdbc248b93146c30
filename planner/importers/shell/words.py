"""Words of a shell script: quotes, escapes and expansions, without expanding them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator

from planner.importers.shell.position import Position
from planner.importers.shell.syntax import (
    Arithmetic,
    Given,
    Literal,
    Parameter,
    Part,
    Substitution,
    Word,
)
from planner.importers.shell.text import UNKNOWN, Piece

METACHARACTERS = frozenset(" \t\n;&|<>()")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPECIAL = re.compile(r"[0-9@*#?$!-]")
_BRACED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_OPERATOR = re.compile(r":[-=+?]|##?|%%?|//?|\^\^?|,,?|[-=+?:@]")
_PLACEHOLDER = re.compile(r"<[A-Za-z_](?:[\w .,:/()'-]{0,98}[\w.)])?>(?=[\s\\/'\";|)]|$)")
"""A placeholder that the reader of a script must replace, such as <Specify path>. To a shell it is
two redirections, most of which would stop it."""
_PLAIN = re.compile(rf"[^\s;&|<>()'\"\\$`{UNKNOWN}]+")
_PLAIN_QUOTED = re.compile(rf"[^\"\\$`\n{UNKNOWN}]+")
_PLAIN_BRACED = re.compile(rf"[^'\"\\$`\n}}{UNKNOWN}]+")
_PLAIN_HEREDOC = re.compile(rf"[^\\$`\n{UNKNOWN}]+")
_ANSI_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "a": "\a"}


class Reader(Position, ABC):
    """Reads words. Every reading method moves the position past what it read."""

    def word(self) -> Word:
        """The word that starts here; at least one character."""
        start = self.index
        parts: list[Part] = []
        while self.index < self.end:
            character = self.text[self.index]
            if self.skip_continuation():
                continue
            if character == "<" and (placeholder := self._placeholder()):
                parts.append(Given(placeholder, False))
                continue
            if character in METACHARACTERS and not self.at_process():
                break
            self._unquoted(character, parts, _PLAIN)
        return Word(tuple(parts), self.origin(start))

    def at_placeholder(self) -> bool:
        """Whether <Specify path> or its like stands here."""
        return _PLACEHOLDER.match(self.text, self.index, self.end) is not None

    def _placeholder(self) -> Piece | None:
        """Reads a placeholder as unknown text."""
        found = _PLACEHOLDER.match(self.text, self.index, self.end)
        if found is None:
            return None
        piece = Piece("", self.origin(), doubt=f"is the placeholder {found[0][:60]}")
        self.index = found.end()
        return piece

    def at_process(self) -> bool:
        """Whether <( or >( stands here, the name of a file that a command writes or reads."""
        return self.starts("<(") or self.starts(">(")

    def _unquoted(self, character: str, parts: list[Part], run: re.Pattern[str]) -> None:
        if self._given(parts, quoted=False):
            return
        if character == "'":
            self._single_quoted(parts)
        elif character == '"':
            self._double_quoted(parts)
        elif character == "\\":
            self._add(parts, self.text[self.index + 1 : self.index + 2], quoted=True, skip=2)
        elif character == "$" and self.text[self.index + 1 : self.index + 2] in ("'", '"'):
            self.index += 1
            if self.starts("'"):
                self._ansi_quoted(parts)
            else:
                self._double_quoted(parts)
        elif character in "$`" or (run is _PLAIN and self.at_process()):
            self._expansion(parts, quoted=False)
        else:
            match = run.match(self.text, self.index, self.end)
            found = match[0] if match else character
            self._add(parts, found, quoted=False)

    def _given(self, parts: list[Part], *, quoted: bool) -> bool:
        """Reads a character that stands for an unknown part."""
        piece = self.script.unknown.get(self.index)
        if piece is None:
            return False
        parts.append(Given(piece, quoted))
        self.index += 1
        return True

    def _add(self, parts: list[Part], text: str, *, quoted: bool, skip: int | None = None) -> None:
        for start, end in self._runs(text):
            parts.append(Literal(text[start:end], self.origin(self.index + start), quoted))
        if quoted and not text:
            parts.append(Literal("", self.origin(), quoted))
        self.index = min(self.end, self.index + (len(text) if skip is None else skip))

    def _runs(self, text: str) -> Iterator[tuple[int, int]]:
        """The parts of the text that are contiguous in the file."""
        starts, begin = self.script.starts, 0
        run = bisect_right(starts, self.index)
        while run < len(starts) and starts[run] < self.index + len(text):
            if starts[run] > self.index + begin:
                yield begin, starts[run] - self.index
                begin = starts[run] - self.index
            run += 1
        if begin < len(text):
            yield begin, len(text)

    def _single_quoted(self, parts: list[Part]) -> None:
        start = self.index
        end = self.text.find("'", start + 1, self.end)
        if end < 0:
            raise self.error("a quote ' that is not closed", start)
        self.index = start + 1
        self._add(parts, "", quoted=True)
        for line in self.text[start + 1 : end].splitlines(keepends=True):
            self._add(parts, line, quoted=True)
        self.index = end + 1

    def _ansi_quoted(self, parts: list[Part]) -> None:
        start = self.index
        self.index += 1
        self._add(parts, "", quoted=True)
        while not self.starts("'"):
            if self.index >= self.end:
                raise self.error("a quote $' that is not closed", start)
            if self.starts("\\"):
                escape = self.text[self.index + 1 : self.index + 2]
                self._add(parts, _ANSI_ESCAPES.get(escape, escape), quoted=True, skip=2)
            else:
                self._add(parts, self.text[self.index], quoted=True)
        self.index += 1

    def _double_quoted(self, parts: list[Part]) -> None:
        start = self.index
        self.index += 1
        self._add(parts, "", quoted=True)
        while not self.starts('"'):
            if self.index >= self.end:
                raise self.error('a quote " that is not closed', start)
            self._inside_quotes(parts, _PLAIN_QUOTED, '$`"\\')
        self.index += 1

    def _inside_quotes(self, parts: list[Part], run: re.Pattern[str], escapable: str) -> None:
        if self.skip_continuation() or self._given(parts, quoted=True):
            return
        character = self.text[self.index]
        following = self.text[self.index + 1 : self.index + 2]
        if character == "\\" and following and following in escapable:
            self._add(parts, following, quoted=True, skip=2)
        elif character in "$`":
            self._expansion(parts, quoted=True)
        else:
            match = run.match(self.text, self.index, self.end)
            self._add(parts, match[0] if match else character, quoted=True)

    def _expansion(self, parts: list[Part], *, quoted: bool) -> None:
        start, origin = self.index, self.origin()
        if self.starts("`"):
            end = self.closing_backquote(start)
            parts.append(Substitution(self.text[start + 1 : end], origin, quoted))
            self.index = end + 1
        elif self.starts("$((") and (arithmetic := self.end_of_arithmetic(start + 1)) is not None:
            parts.append(Arithmetic(self.part_of(start + 3, arithmetic), origin, quoted))
            self.index = arithmetic + 2
        elif self.starts("$(") or self.at_process():
            end = self.closing(start + 1)
            parts.append(Substitution(self.text[start + 2 : end], origin, quoted))
            self.index = end + 1
        elif self.starts("$[") and (bracket := self.closing_bracket(start + 1)) is not None:
            parts.append(Arithmetic(self.part_of(start + 2, bracket), origin, quoted))
            self.index = bracket + 1
        elif self.starts("${"):
            parts.append(self._braced(quoted=quoted))
        else:
            match = _NAME.match(self.text, start + 1) or _SPECIAL.match(self.text, start + 1)
            if match is None:
                self._add(parts, "$", quoted=quoted)
                return
            parts.append(Parameter(match[0], "", "", Word((), origin), origin, quoted))
            self.index = match.end()

    @abstractmethod
    def closing(self, opening: int) -> int:
        """The parenthesis that closes the one at `opening`, with commands between them."""

    def part_of(self, start: int, end: int, *, heredoc: bool = False) -> Word:
        """Characters `start` to `end` as the inside of double quotes, or as the body of <<END,
        where a quote is an ordinary character."""
        outer = (self.index, self.end)
        self.index, self.end = start, end
        parts: list[Part] = []
        self.enter()
        while self.index < self.end:
            if heredoc:
                self._inside_quotes(parts, _PLAIN_HEREDOC, "$`\\")
            else:
                self._inside_quotes(parts, _PLAIN_QUOTED, '$`"\\')
        self.leave()
        self.index, self.end = outer
        return Word(tuple(parts), self.origin(start))

    def _braced(self, *, quoted: bool) -> Part:
        start, origin = self.index, self.origin()
        self.index += 2
        length = self.starts("#") and not self.starts("#}")
        indirect = self.starts("!") and not self.starts("!}")
        self.index += length or indirect
        match = _BRACED.match(self.text, self.index)
        if match is None:
            self._until_brace(start, quoted=quoted)
            doubt = f"{self.text[start : self.index][:60]} is not followed here"
            return Given(Piece("", origin, quoted, doubt=doubt), quoted)
        name, index = match[0], ""
        self.index = match.end()
        bracket = self.closing_bracket(self.index) if self.starts("[") else None
        if bracket is not None:
            index = self.text[self.index + 1 : bracket]
            self.index = bracket + 1
        operator = "length" if length else "indirect" if indirect else ""
        found = _OPERATOR.match(self.text, self.index)
        if found and not operator:
            operator = found[0]
            self.index = found.end()
        self.enter()
        argument = self._until_brace(start, quoted=quoted)
        self.leave()
        return Parameter(name, index, operator, argument, origin, quoted)

    def _until_brace(self, start: int, *, quoted: bool) -> Word:
        parts: list[Part] = []
        origin = self.origin()
        while not self.starts("}"):
            if self.index >= self.end:
                raise self.error("${ that is not closed by }", start)
            if self.skip_continuation():
                continue
            character = self.text[self.index]
            if quoted and character == "'":
                self._add(parts, character, quoted=True)
            else:
                self._unquoted(character, parts, _PLAIN_BRACED)
        self.index += 1
        return Word(tuple(parts), origin)
