"""Arithmetic that may change a variable: ((i++)), ((total += n)), and plain expressions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from planner.importers.shell import arithmetic
from planner.importers.shell.expansion import expand, integer_of
from planner.importers.shell.text import Piece, is_known, plain

if TYPE_CHECKING:
    from planner.importers.shell.state import ShellState
    from planner.importers.shell.syntax import Word

_NAME = r"([A-Za-z_][A-Za-z0-9_]*)"
_BEFORE = re.compile(rf"(\+\+|--)\s*{_NAME}")
_AFTER = re.compile(rf"{_NAME}\s*(\+\+|--)")
_ASSIGNMENT = re.compile(rf"{_NAME}\s*([-+*/%]?)=(?!=)(.*)", re.DOTALL)


def carry_out(expression: Word, state: ShellState) -> int | None:
    """The value of an expression, after the assignment that it may be; None where it is unknown,
    and then the variable is in doubt."""
    text = expand(expression, state)
    written = plain(text).strip()
    if not is_known(text):
        return None
    if changed := _BEFORE.fullmatch(written):
        return _assign(changed[2], f"{changed[2]} {changed[1][0]} 1", expression, state)
    if changed := _AFTER.fullmatch(written):
        before = integer_of(state, changed[1]) or 0
        value = _assign(changed[1], f"{changed[1]} {changed[2][0]} 1", expression, state)
        return None if value is None else before
    if changed := _ASSIGNMENT.fullmatch(written):
        name, operator, right = changed.groups()
        whole = f"{name} {operator} ({right})" if operator else right
        return _assign(name, whole, expression, state)
    return _value(written, state)


def _assign(name: str, expression: str, word: Word, state: ShellState) -> int | None:
    value = _value(expression, state, assigned=name)
    doubt = "" if value is not None else f"(({expression[:40]})) is not known here"
    state.variables[name] = (Piece("" if value is None else str(value), word.origin, doubt=doubt),)
    return value


def _value(expression: str, state: ShellState, assigned: str = "") -> int | None:
    """A variable that counts from nothing counts from 0, as in the shell."""

    def value_of(name: str) -> int | None:
        return 0 if name == assigned and not state.value(name) else integer_of(state, name)

    return arithmetic.evaluate(expression, value_of)
