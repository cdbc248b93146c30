"""Simple commands of a shell script: words, assignments, redirections, text given to them."""

from __future__ import annotations

import re

from planner.errors import InputError
from planner.importers.shell.syntax import Assignment, Given, Heredoc, Literal, Simple, Word
from planner.importers.shell.text import Origin, Piece, Script
from planner.importers.shell.words import Reader

DECLARING = ("export", "declare", "local", "readonly", "typeset")

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\[[^\]\n]*\])?(\+?)=")
_LAYERS = re.compile(r"\(\[[0-9, ]+\][][0-9, *+()]*(?=\s|$)")
"""A pattern of layers as in Python, ([0]+[1]*26), which shells need quotes for and files of flags
do not."""
_REDIRECTION = re.compile(
    r"(?:[0-9]+|\{[A-Za-z_][A-Za-z0-9_]*\})?(&>>?|<<-|<<<|<<|<>|>>|>\||[<>]&|[<>])"
)


class CommandReader(Reader):
    """Reads simple commands; bodies of <<END are read at the end of the line that asks for them."""

    def __init__(self, script: Script, *, depth: int) -> None:
        super().__init__(script, depth=depth)
        self.awaiting: list[tuple[Word, bool, Heredoc]] = []

    def skip_blank(self) -> None:
        """Spaces, joined lines, and a comment."""
        while self.index < self.end:
            if self.text[self.index] in " \t\r":
                self.index += 1
            elif self.starts("#"):
                newline = self.text.find("\n", self.index, self.end)
                self.index = self.end if newline < 0 else newline
            elif not self.skip_continuation():
                return

    def separator(self) -> None:
        newline = self.starts("\n")
        self.index += 1
        if newline:
            self._read_heredocs()

    def skip_newlines(self) -> None:
        self.skip_blank()
        while self.starts("\n"):
            self.separator()
            self.skip_blank()

    def plain_word(self) -> Word:
        word = self.word()
        if not word.parts:
            found = repr(self.text[self.index]) if self.index < self.end else "the end"
            raise self.error(f"a word is missing before {found}")
        return word

    def simple(self) -> Simple:
        origin, start = self.origin(), self.index
        assignments: list[Assignment] = []
        words: list[Word] = []
        heredocs: list[Heredoc] = []
        while True:
            self.skip_blank()
            if self.redirection(heredocs):
                continue
            if self.index >= self.end or self.text[self.index] in "\n;&|)":
                break
            if not words and self.starts("(("):
                return self._arithmetic_command(origin, start)
            assignable = not words or _literal(words[0]) in DECLARING
            found = _ASSIGNMENT.match(self.text, self.index, self.end) if assignable else None
            if found:
                assignments.append(self._assignment(found))
            elif words and (pattern := _LAYERS.match(self.text, self.index, self.end)):
                words.append(Word((Literal(pattern[0], self.origin(), True),), self.origin()))
                self.index = pattern.end()
            elif self.text[self.index] in "(<>" and not (
                self.at_process() or self.at_placeholder()
            ):
                raise self.error(f"{self.text[self.index]!r} inside a command")
            else:
                words.append(self.plain_word())
                if len(words) == 1 and _literal(words[0]) == "[[":
                    return self._test_command(words, origin, start)
        if not (words or assignments or heredocs):
            self._nothing(start)
        return Simple(tuple(assignments), tuple(words), tuple(heredocs), origin)

    def _nothing(self, start: int) -> None:
        """Where no command stands: fine after a redirection alone, else not shell."""
        if self.index == start:
            found = repr(self.text[self.index]) if self.index < self.end else "the end"
            raise self.error(f"a command is missing before {found}")

    def _assignment(self, found: re.Match[str]) -> Assignment:
        origin = self.origin()
        name, index, append = found.groups()
        self.index = found.end()
        value = self._array() if self.starts("(") else self.word()
        return Assignment(name, index[1:-1] if index else None, bool(append), value, origin)

    def _array(self) -> tuple[Word, ...]:
        start = self.index
        self.index += 1
        words: list[Word] = []
        while True:
            self.skip_newlines()
            if self.index >= self.end:
                raise self.error("an array ( that is not closed by )", start)
            if self.starts(")"):
                self.index += 1
                return tuple(words)
            words.append(self.plain_word())

    def _arithmetic_command(self, origin: Origin, start: int) -> Simple:
        end = self.end_of_arithmetic(self.index)
        if end is None:
            raise self.error("(( that is not closed by ))", start)
        expression = self.part_of(self.index + 2, end)
        opening = Word((Literal("((", origin, False),), origin)
        self.index = end + 2
        return self._redirected_test((opening, expression), origin)

    def _redirected_test(self, words: tuple[Word, ...], origin: Origin) -> Simple:
        """(( )) or [[ ]], with the redirections after it."""
        heredocs: list[Heredoc] = []
        self.skip_blank()
        while self.redirection(heredocs):
            self.skip_blank()
        return Simple((), words, tuple(heredocs), origin)

    def _test_command(self, words: list[Word], origin: Origin, start: int) -> Simple:
        """[[ … ]], where && || ( ) < > are words."""
        while True:
            self.skip_newlines()
            if self.index >= self.end:
                raise self.error("[[ that is not closed by ]]", start)
            operator = next((o for o in ("&&", "||", "(", ")", "<", ">") if self.starts(o)), "")
            if operator:
                words.append(Word((Literal(operator, self.origin(), False),), self.origin()))
                self.index += len(operator)
                continue
            words.append(self._test_word())
            if _literal(words[-1]) == "]]":
                return self._redirected_test(tuple(words), origin)

    def _test_word(self) -> Word:
        """A word of [[ ]]; the pattern after =~ may hold what ends words elsewhere."""
        word = self.word()
        if not word.parts:
            self.index += 1
            return Word((Literal(self.text[self.index - 1], word.origin, False),), word.origin)
        return word

    def redirection(self, heredocs: list[Heredoc]) -> bool:
        """Past one redirection, if one stands here; text given to the command is kept."""
        match = _REDIRECTION.match(self.text, self.index, self.end)
        if match is None or self.at_process() or self.at_placeholder():
            return False
        origin = self.origin()
        operator = match[1]
        self.index = match.end()
        self.skip_blank()
        target = self.plain_word()
        if operator in ("<<", "<<-"):
            heredocs.append(Heredoc(Word((), origin), origin))
            self.awaiting.append((target, operator == "<<-", heredocs[-1]))
        elif operator == "<<<":
            heredocs.append(Heredoc(target, origin))
        return True

    def _read_heredocs(self) -> None:
        """The bodies of <<END that the line just read asked for."""
        for target, indented, heredoc in self.awaiting:
            quoted = any(isinstance(part, Literal) and part.quoted for part in target.parts)
            end_word = "".join(part.text for part in target.parts if isinstance(part, Literal))
            start, stop = self.index, self.end
            while True:
                newline = self.text.find("\n", self.index, self.end)
                line_end = self.end if newline < 0 else newline
                line = self.text[self.index : line_end]
                stop, at_end = self.index, newline < 0
                self.index = line_end if at_end else line_end + 1
                if (line.lstrip("\t") if indented else line).rstrip("\r") == end_word:
                    break
                if at_end:
                    stop = self.end
                    break
            heredoc.body = self._heredoc_text(start, stop, quoted=quoted)
        self.awaiting.clear()

    def _heredoc_text(self, start: int, stop: int, *, quoted: bool) -> Word:
        if not quoted:
            return self._expanded_text(start, stop)
        parts: list[Literal] = []
        index = start
        for line in self.text[start:stop].splitlines(keepends=True):
            parts.append(Literal(line, self.origin(index), True))
            index += len(line)
        return Word(tuple(parts), self.origin(start))

    def _expanded_text(self, start: int, stop: int) -> Word:
        """A body in which the shell expands variables when the command runs, and not before:
        one that it could not expand is no error of the script's."""
        outer = (self.index, self.end, self.depth)
        try:
            return self.part_of(start, stop, heredoc=True)
        except InputError as error:
            self.index, self.end, self.depth = outer
            doubt = f"is a text that the shell cannot expand: {error.message}"
            origin = self.origin(start)
            return Word((Given(Piece("", origin, quoted=True, doubt=doubt), True),), origin)


def _literal(word: Word) -> str:
    """The characters of a word of one plain literal; empty for any other."""
    if len(word.parts) == 1 and isinstance(word.parts[0], Literal) and not word.parts[0].quoted:
        return word.parts[0].text
    return ""
