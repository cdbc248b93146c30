"""Commands of a shell script: lists, pipelines, conditions, loops, functions."""

from __future__ import annotations

import re

from planner.importers.shell.simple import CommandReader
from planner.importers.shell.syntax import (
    AndOr,
    Block,
    Case,
    CaseBranch,
    Command,
    CommandGroup,
    For,
    Function,
    Heredoc,
    If,
    Literal,
    Pipeline,
    While,
    Word,
)
from planner.importers.shell.text import Origin, Script

_FUNCTION = re.compile(r"(?:function[ \t]+)?([A-Za-z_][A-Za-z0-9_:.-]*)[ \t]*\([ \t]*\)")
_FUNCTION_WORD = re.compile(r"function[ \t]+([A-Za-z_][A-Za-z0-9_:.-]*)[ \t\n]+(?=\{)")
_RESERVED_ENDS = ("then", "elif", "else", "fi", "do", "done", "esac", "}", ")", ";;", ";&")


def parse_script(script: Script, *, depth: int = 0) -> Block:
    """The commands of a script. Raises: InputError for what is not shell, with its place."""
    parser = _Parser(script, depth=depth)
    block = parser.block(())
    if parser.index < parser.end:
        raise parser.error(f"{parser.text[parser.index]!r} where a command should start")
    return block


class _Parser(CommandReader):
    """Compound commands: those that hold other commands."""

    def block(self, ends: tuple[str, ...]) -> Block:
        """Commands up to one of the reserved words `ends`, or the end of the text."""
        self.enter()
        found: list[AndOr] = []
        while True:
            self._skip_separators()
            if self.index >= self.end or self._reserved(ends or _RESERVED_ENDS):
                break
            found.append(self._and_or())
            self.skip_blank()
            if self.index < self.end and self.text[self.index] not in "\n;&)":
                raise self.error(f"{self.text[self.index]!r} right after a command")
        self.leave()
        return tuple(found)

    def closing(self, opening: int) -> int:
        """The parenthesis that closes the one at `opening`, with commands between them."""
        outer, awaiting = self.index, self.awaiting
        self.index, self.awaiting = opening + 1, []
        self.block((")",))
        if self.index >= self.end or not self.starts(")"):
            raise self.error("a parenthesis that is not closed", opening)
        end, self.index = self.index, outer
        self.awaiting = [*awaiting, *self.awaiting]
        return end

    def _skip_separators(self) -> None:
        """Blanks, newlines, and the ends of commands."""
        while self.index < self.end:
            self.skip_blank()
            if (
                self.starts(";;")
                or self.starts(";&")
                or not (self.starts("\n") or self.starts(";") or self.starts("&"))
            ):
                return
            self.separator()

    def _reserved(self, words: tuple[str, ...]) -> str:
        """The reserved word that stands here, unless it is part of a longer word."""
        for word in words:
            if self.starts(word):
                following = self.text[self.index + len(word) : self.index + len(word) + 1]
                if word[0] in ");" or following in ("", *" \t\r\n;&|<>()"):
                    return word
        return ""

    def _expect(self, word: str, opening: str, origin: int) -> None:
        self._skip_separators()
        if not self._reserved((word,)):
            raise self.error(f"{opening} without {word}", origin)
        self.index += len(word)

    def _and_or(self) -> AndOr:
        pipelines = [self._pipeline()]
        operators: list[str] = []
        while True:
            self.skip_blank()
            if not (self.starts("&&") or self.starts("||")):
                return AndOr(tuple(pipelines), tuple(operators))
            operators.append(self.text[self.index : self.index + 2])
            self.index += 2
            self.skip_newlines()
            pipelines.append(self._pipeline())

    def _pipeline(self) -> Pipeline:
        negated = False
        while word := self._reserved(("!", "time")):
            negated ^= word == "!"
            self.index += len(word)
            self.skip_blank()
        commands = [self._command()]
        while True:
            self.skip_blank()
            if not self.starts("|") or self.starts("||"):
                return Pipeline(tuple(commands), negated)
            self.index += 2 if self.starts("|&") else 1
            self.skip_newlines()
            commands.append(self._command())

    def _command(self) -> Command:
        self.skip_blank()
        start, origin = self.index, self.origin()
        function = _FUNCTION.match(self.text, start) or _FUNCTION_WORD.match(self.text, start)
        if function:
            self.index = function.end()
            self.skip_newlines()
            return Function(function[1], self._command(), origin)
        match self._reserved(("if", "for", "while", "until", "case", "select", "{")):
            case "if":
                return self._redirected(self._if(start, origin))
            case "for" | "select":
                return self._redirected(self._for(start, origin))
            case "while" | "until":
                return self._redirected(self._while(start, origin))
            case "case":
                return self._redirected(self._case(start, origin))
            case "{":
                self.index += 1
                body = self.block(("}",))
                self._expect("}", "{", start)
                return self._redirected(CommandGroup(body, False, origin))
        arithmetic = self.starts("((") and self.end_of_arithmetic(start) is not None
        if self.starts("(") and not arithmetic:
            self.index += 1
            body = self.block((")",))
            self._expect(")", "(", start)
            return self._redirected(CommandGroup(body, True, origin))
        return self.simple()

    def _redirected(self, command: Command) -> Command:
        """A compound command and the redirections after it."""
        heredocs: list[Heredoc] = []
        self.skip_blank()
        while self.redirection(heredocs):
            self.skip_blank()
        return command

    def _if(self, start: int, origin: Origin) -> If:
        self.index += 2
        branches: list[tuple[Block, Block]] = []
        otherwise: Block = ()
        while True:
            condition = self.block(("then",))
            self._expect("then", "if", start)
            body = self.block(("elif", "else", "fi"))
            branches.append((condition, body))
            if not self._reserved(("elif",)):
                break
            self.index += 4
        if self._reserved(("else",)):
            self.index += 4
            otherwise = self.block(("fi",))
        self._expect("fi", "if", start)
        return If(tuple(branches), otherwise, origin)

    def _for(self, start: int, origin: Origin) -> For | While:
        self.index += len(self._reserved(("for", "select")))
        self.skip_blank()
        if self.starts("(("):
            end = self.end_of_arithmetic(self.index)
            if end is None:
                raise self.error("for (( that is not closed by ))", start)
            counts = self._counts(self.index + 2, end)
            self.index = end + 2
            return While(self._do(start), origin, counts=counts)
        name = self.word()
        words: list[Word] | None = None
        self.skip_newlines()
        if self._reserved(("in",)):
            self.index += 2
            words = []
            self.skip_blank()
            while self.index < self.end and self.text[self.index] not in ";\n":
                words.append(self.plain_word())
                self.skip_blank()
        written = "".join(part.text for part in name.parts if isinstance(part, Literal))
        return For(written, None if words is None else tuple(words), self._do(start), origin)

    def _while(self, start: int, origin: Origin) -> While:
        until = self.starts("until")
        self.index += 5
        condition = self.block(("do",))
        return While(self._do(start), origin, condition, until)

    def _counts(self, start: int, end: int) -> tuple[Word, ...]:
        """The expressions of for ((first; condition; step)); none where there are not three."""
        stops = [index for index in range(start, end) if self.text[index] == ";"]
        if len(stops) != 2:
            return ()
        first, second = stops
        parts = ((start, first), (first + 1, second), (second + 1, end))
        return tuple(self.part_of(*part) for part in parts)

    def _do(self, start: int) -> Block:
        self._skip_separators()
        if self._reserved(("{",)):
            self.index += 1
            body = self.block(("}",))
            self._expect("}", "{", start)
            return body
        self._expect("do", "a loop", start)
        body = self.block(("done",))
        self._expect("done", "a loop", start)
        return body

    def _case(self, start: int, origin: Origin) -> Case:
        self.index += 4
        self.skip_blank()
        subject = self.plain_word()
        self.skip_newlines()
        if not self._reserved(("in",)):
            raise self.error("case without in", start)
        self.index += 2
        found: list[tuple[tuple[Word, ...], Block, str]] = []
        self._skip_separators()
        while not self._reserved(("esac",)):
            patterns, body = self._patterns(start), self.block(("esac", ";;", ";&"))
            ending = self._reserved((";;&", ";;", ";&"))
            found.append((patterns, body, ending))
            self.index += len(ending)
            self._skip_separators()
        self._expect("esac", "case", start)
        branches: list[CaseBranch] = []
        for patterns, body, ending in reversed(found):
            falls = ending == ";&" and branches
            whole = (*body, *branches[-1].body) if falls else body
            branches.append(CaseBranch(patterns, whole, ending == ";;&"))
        return Case(subject, tuple(reversed(branches)), origin)

    def _patterns(self, start: int) -> tuple[Word, ...]:
        patterns: list[Word] = []
        self.index += self.starts("(")
        while True:
            self.skip_blank()
            patterns.append(self.plain_word())
            self.skip_blank()
            if self.starts(")"):
                self.index += 1
                return tuple(patterns)
            if not self.starts("|"):
                raise self.error("a case whose pattern does not end with )", start)
            self.index += 1
