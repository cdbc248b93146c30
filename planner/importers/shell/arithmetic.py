"""Integer expressions of the shell: $((GPUS_PER_NODE * NNODES))."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from planner.importers.shell.position import DEEPEST

LARGEST = 2**63 - 1

_TOKEN = re.compile(
    r"\s*(?:(0[xX][0-9a-fA-F]+|[0-9]+)|([A-Za-z_][A-Za-z0-9_]*)"
    r"|(\*\*|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%()<>!~&|^?:]))"
)


def _divide(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


_BINARY: dict[str, tuple[int, Callable[[int, int], int]]] = {
    "||": (1, lambda a, b: int(bool(a) or bool(b))),
    "&&": (2, lambda a, b: int(bool(a) and bool(b))),
    "|": (3, operator.or_),
    "^": (4, operator.xor),
    "&": (5, operator.and_),
    "==": (6, lambda a, b: int(a == b)),
    "!=": (6, lambda a, b: int(a != b)),
    "<": (7, lambda a, b: int(a < b)),
    ">": (7, lambda a, b: int(a > b)),
    "<=": (7, lambda a, b: int(a <= b)),
    ">=": (7, lambda a, b: int(a >= b)),
    "<<": (8, lambda a, b: a << min(b, 64)),
    ">>": (8, lambda a, b: a >> min(b, 64)),
    "+": (9, operator.add),
    "-": (9, operator.sub),
    "*": (10, operator.mul),
    "/": (10, _divide),
    "%": (10, lambda a, b: a - b * _divide(a, b)),
    "**": (11, lambda a, b: a ** min(b, 64)),
}


def evaluate(expression: str, value_of: Callable[[str], int | None]) -> int | None:
    """The value of an expression, or None where it is unknown: a name without a known value, a
    division by zero, an assignment, numbers beyond 64 bits, anything else that is not supported."""
    tokens = _tokens(expression)
    if tokens is None:
        return None
    try:
        reader = _Reader(tokens, value_of)
        value = reader.ternary(0)
        return value if reader.done and abs(value) <= LARGEST else None
    except (_UnknownValueError, ZeroDivisionError, ValueError, OverflowError):
        return None


class _UnknownValueError(Exception):
    pass


def _tokens(expression: str) -> list[str] | None:
    tokens: list[str] = []
    position = 0
    while position < len(expression) and expression[position:].strip():
        match = _TOKEN.match(expression, position)
        if match is None:
            return None
        tokens.append(match[0].strip())
        position = match.end()
    return tokens


class _Reader:
    def __init__(self, tokens: list[str], value_of: Callable[[str], int | None]) -> None:
        self._tokens = tokens
        self._next = 0
        self._value_of = value_of

    @property
    def done(self) -> bool:
        return self._next == len(self._tokens)

    def _peek(self) -> str:
        return "" if self.done else self._tokens[self._next]

    def _take(self) -> str:
        token = self._peek()
        if not token:
            raise _UnknownValueError
        self._next += 1
        return token

    def ternary(self, depth: int) -> int:
        if depth > DEEPEST:
            raise _UnknownValueError
        condition = self._binary(1, depth)
        if self._peek() != "?":
            return condition
        self._take()
        first = self.ternary(depth + 1)
        if self._take() != ":":
            raise _UnknownValueError
        second = self.ternary(depth + 1)
        return first if condition else second

    def _binary(self, lowest: int, depth: int) -> int:
        left = self._unary(depth)
        while self._peek() in _BINARY and _BINARY[self._peek()][0] >= lowest:
            level, apply = _BINARY[self._take()]
            right = self._binary(level + 1, depth)
            left = apply(left, right)
            if abs(left) > LARGEST:
                raise _UnknownValueError
        return left

    def _unary(self, depth: int) -> int:
        if depth > DEEPEST:
            raise _UnknownValueError
        token = self._take()
        if token == "(":
            value = self.ternary(depth + 1)
            if self._take() != ")":
                raise _UnknownValueError
            return value
        if token in "+-!~":
            value = self._unary(depth + 1)
            return {"+": value, "-": -value, "!": int(not value), "~": ~value}[token]
        if token[0].isdigit():
            return _number(token)
        known = self._value_of(token)
        if known is None:
            raise _UnknownValueError
        return known


def _number(token: str) -> int:
    if token[:2].lower() == "0x":
        return int(token, 16)
    if len(token) > 1 and token[0] == "0":
        return int(token, 8)
    return int(token)
