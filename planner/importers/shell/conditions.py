"""Tests of the shell: [ … ], [[ … ]] and (( … )). The result is None where a test cannot be
decided."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

from planner.importers.shell import arithmetic
from planner.importers.shell.counting import carry_out
from planner.importers.shell.expansion import expand, integer_of
from planner.importers.shell.files import file_name
from planner.importers.shell.splitting import fields
from planner.importers.shell.state import ShellState
from planner.importers.shell.syntax import Literal, Word
from planner.importers.shell.text import Text, doubt_of, plain, unset_in
from planner.importers.shell.transform import LONGEST_MATCHED

_NUMERIC = {"-eq": "==", "-ne": "!=", "-lt": "<", "-le": "<=", "-gt": ">", "-ge": ">="}
_FILE_TESTS = frozenset(f"-{letter}" for letter in "abcdefghkprstuwxGLNOS")
_OF_ANY_FILE = ("-e", "-f", "-r")
_DEEPEST = 40
_DECIDER = re.compile(r"which (argument [0-9]+ of the script|\$\w+) decides")


def test_command(words: list[Text], state: ShellState) -> bool | None:
    """`[ … ]` or `test …`, given its words without the brackets."""
    return _Test([(text, None) for text in words], state).decide()


def double_bracket(words: tuple[Word, ...], state: ShellState) -> bool | None:
    """`[[ … ]]`, given its words without the brackets. Words are not split, and the right side of a
    comparison is a pattern unless it is quoted."""
    tokens: list[tuple[Text, Word | None]] = [(expand(word, state), word) for word in words]
    return _Test(tokens, state).decide()


def arithmetic_test(expression: Word, state: ShellState) -> bool | None:
    """`(( … ))`: true when the value is not 0."""
    value = carry_out(expression, state)
    return None if value is None else bool(value)


def decider_in(words: Iterable[Word], state: ShellState) -> str:
    """What decides about words that are not known: the first variable or argument of the script
    among them that the file leaves open, also by way of an earlier condition; else the run."""
    for text in (expand(word, state) for word in words):
        unset = next(iter(unset_in(text)), "")
        if unset:
            return f"argument {unset} of the script" if unset.isdigit() else f"${unset}"
        if earlier := _DECIDER.search(doubt_of(text)):
            return earlier[1]
    return "only the run"


class _Undecidable(Exception):  # noqa: N818 - not an error
    pass


class _Test:
    """Reads the words of a test: "or" of "and" of negations of comparisons."""

    def __init__(self, tokens: list[tuple[Text, Word | None]], state: ShellState) -> None:
        self._tokens = tokens
        self._state = state
        self._next = 0

    def decide(self) -> bool | None:
        try:
            answer = self._any(0)
        except _Undecidable:
            return None
        return answer if self._next == len(self._tokens) else None

    def _text(self, ahead: int = 0) -> str | None:
        place = self._next + ahead
        return plain(self._tokens[place][0]) if place < len(self._tokens) else None

    def _is_operator(self, *names: str) -> bool:
        return self._text() in names and not doubt_of(self._tokens[self._next][0])

    def _any(self, depth: int) -> bool | None:
        answer = self._all(depth)
        while self._is_operator("||", "-o"):
            self._next += 1
            other = self._all(depth)
            answer = _either(answer, other)
        return answer

    def _all(self, depth: int) -> bool | None:
        answer = self._negated(depth)
        while self._is_operator("&&", "-a"):
            self._next += 1
            other = self._negated(depth)
            answer = _negation(_either(_negation(answer), _negation(other)))
        return answer

    def _negated(self, depth: int) -> bool | None:
        if depth > _DEEPEST:
            raise _Undecidable
        if self._is_operator("!") and self._text(1) is not None:
            self._next += 1
            return _negation(self._negated(depth + 1))
        if self._is_operator("(") and self._text(1) is not None:
            self._next += 1
            answer = self._any(depth + 1)
            if not self._is_operator(")"):
                raise _Undecidable
            self._next += 1
            return answer
        return self._comparison()

    def _comparison(self) -> bool | None:
        first, second = self._text(), self._text(1)
        if first is None:
            return False
        binary = second is not None and (second in _NUMERIC or second in _TEXT_OPERATORS)
        if binary and self._text(2) is not None and second is not None:
            left, _ = self._tokens[self._next]
            right, written = self._tokens[self._next + 2]
            self._next += 3
            return self._compare(left, second, right, written)
        if first in ("-z", "-n", "-v") and second is not None:
            self._next += 2
            return self._unary(first, self._tokens[self._next - 1][0])
        if first in _FILE_TESTS and second is not None:
            self._next += 2
            return self._file_is_there(first, self._tokens[self._next - 1][0])
        self._next += 1
        return self._unary("-n", self._tokens[self._next - 1][0])

    def _file_is_there(self, operator: str, named: Text) -> bool | None:
        """True for a file that can be read here; others may be there when the script runs."""
        if operator not in _OF_ANY_FILE:
            return None
        name = file_name(named)
        return True if name and self._state.read_file(name) is not None else None

    def _unary(self, operator: str, operand: Text) -> bool | None:
        if operator == "-v":
            name = plain(operand)
            if self._state.value(name) is None:
                self._state.looked_up[name] = None
            return self._state.value(name) is not None
        known = self._known(operand)
        if known is None:
            return bool(plain(operand)) == (operator == "-n") if plain(operand) else None
        return bool(known) == (operator == "-n")

    def _known(self, text: Text) -> str | None:
        """The characters, or None where a part is unknown. Variables left to the environment count
        as not set, and are noted."""
        if doubt_of(text):
            return None
        for name in unset_in(text):
            self._state.looked_up[name] = None
        return plain(text)

    def _compare(self, left: Text, operator: str, right: Text, written: Word | None) -> bool | None:
        one, other = self._known(left), self._known(right)
        if one is None or other is None:
            return None
        if operator in _NUMERIC:
            return self._compare_numbers(one, _NUMERIC[operator], other)
        if operator in ("<", ">"):
            return one < other if operator == "<" else one > other
        if len(one) > LONGEST_MATCHED or len(other) > LONGEST_MATCHED:
            return None
        if operator == "=~":
            return _matches(one, other)
        if written is not None and _is_pattern(written):
            equal = fnmatch.fnmatchcase(one, other)
        else:
            equal = one == other
        return equal if operator in ("=", "==") else not equal

    def _compare_numbers(self, one: str, operator: str, other: str) -> bool | None:
        values = [
            arithmetic.evaluate(text, lambda name: integer_of(self._state, name))
            for text in (one, other)
        ]
        if values[0] is None or values[1] is None:
            return None
        answer = arithmetic.evaluate(f"({values[0]}) {operator} ({values[1]})", lambda _: None)
        return None if answer is None else bool(answer)


_TEXT_OPERATORS = frozenset(["=", "==", "!=", "<", ">", "=~"])


def _is_pattern(word: Word) -> bool:
    return not any(isinstance(part, Literal) and part.quoted for part in word.parts)


def _matches(text: str, expression: str) -> bool | None:
    """=~ for expressions that mean the same in both languages and cannot take exponential time."""
    if not re.fullmatch(r"\^?(?:[A-Za-z0-9_. -]|\\\.|\[[A-Za-z0-9_-]+\][+*]?)*\$?", expression):
        return None
    try:
        return re.search(expression, text) is not None
    except re.error:
        return None


def _either(one: bool | None, other: bool | None) -> bool | None:
    if one or other:
        return True
    return None if one is None or other is None else False


def _negation(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def case_matches(subject: Text, pattern: Word, state: ShellState) -> bool | None:
    """Whether a case's subject fits one of its patterns."""
    wanted = expand(pattern, state)
    if doubt_of(subject) or doubt_of(wanted):
        return True if plain(wanted) == "*" and not doubt_of(wanted) else None
    for name in unset_in(subject):
        state.looked_up[name] = None
    text, written = plain(subject), plain(wanted)
    if not _is_pattern(pattern):
        return text == written
    return fnmatch.fnmatchcase(text[:LONGEST_MATCHED], written[:LONGEST_MATCHED])


def test_words(words: tuple[Word, ...], state: ShellState) -> list[Text]:
    """The split words of `[ … ]`. Words that are unknown or not set stay, where the shell would
    drop them if they were empty."""
    found: list[Text] = []
    for word in words:
        for text in fields(word, state):
            if plain(text) or doubt_of(text) or any(piece.quoted for piece in text):
                found.append(text)
                continue
            for name in unset_in(text):
                state.looked_up[name] = None
    return found
