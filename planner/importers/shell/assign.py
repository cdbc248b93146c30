"""Assignments to variables and arrays."""

from __future__ import annotations

from planner.importers.shell.expansion import elements_of, expand, key_of
from planner.importers.shell.state import Array, State
from planner.importers.shell.syntax import Assignment
from planner.importers.shell.text import Text, cut, plain


def assign(assignment: Assignment, state: State) -> None:
    name = assignment.name
    before = state.variables.get(name)
    if isinstance(assignment.value, tuple):
        array: Array = dict(before) if assignment.append and isinstance(before, dict) else {}
        if assignment.append and isinstance(before, tuple) and before:
            array = {"0": before}
        state.variables[name] = array | elements_of(assignment.value, state, start=len(array))
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


def declare(words: list[Text], state: State) -> None:
    """`export NAME="value"` where the name itself was in quotes or came from a variable."""
    for word in words:
        name, equals, _ = plain(word).partition("=")
        if equals and name.isidentifier():
            state.variables[name] = cut(word, len(name) + 1, len(plain(word)))
