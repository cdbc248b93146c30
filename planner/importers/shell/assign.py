"""Assignments to variables and arrays."""

from __future__ import annotations

import re

from planner.importers.shell.expansion import expand, key_of
from planner.importers.shell.splitting import fields
from planner.importers.shell.state import Array, ShellState
from planner.importers.shell.syntax import Assignment, Literal, Word
from planner.importers.shell.text import Text, cut, plain


def assign(assignment: Assignment, state: ShellState) -> None:
    name = assignment.name
    before = state.variables.get(name)
    if isinstance(assignment.value, tuple):
        array: Array = dict(before) if assignment.append and isinstance(before, dict) else {}
        if assignment.append and isinstance(before, tuple) and before:
            array = {"0": before}
        state.variables[name] = array | _elements(assignment.value, state, start=len(array))
        return
    value = expand(assignment.value, state)
    if assignment.index is not None:
        array = dict(before) if isinstance(before, dict) else {}
        state.variables[name] = array | {key_of(assignment.index, state): value}
    elif isinstance(before, dict):
        first = before.get("0", ())
        state.variables[name] = before | {"0": (*first, *value) if assignment.append else value}
    else:
        state.variables[name] = (*(before or ()), *value) if assignment.append else value


def declare(words: list[Text], state: ShellState) -> None:
    """`export NAME="value"` where the name itself was in quotes or came from a variable."""
    for word in words:
        name, equals, _ = plain(word).partition("=")
        if equals and name.isidentifier():
            state.variables[name] = cut(word, len(name) + 1, len(plain(word)))


def _elements(words: tuple[Word, ...], state: ShellState, *, start: int = 0) -> Array:
    """The elements of an array literal; `[key]=value` names its own key."""
    array: Array = {}
    number = start
    for word in words:
        keyed = _keyed(word, state)
        if keyed:
            array[keyed[0]] = keyed[1]
            continue
        for field in fields(word, state):
            array[str(number)] = field
            number += 1
    return array


def _keyed(word: Word, state: ShellState) -> tuple[str, Text] | None:
    first = word.parts[0] if word.parts else None
    if not isinstance(first, Literal) or first.quoted:
        return None
    match = re.match(r"\[([^\]]+)\]=", first.text)
    if match is None:
        return None
    rest = Literal(first.text[match.end() :], first.origin.after(match.end()), False)
    return key_of(match[1], state), expand(Word((rest, *word.parts[1:]), word.origin), state)
