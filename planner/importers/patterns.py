"""Lists of layer kinds: from the expressions in flags to the form of a model file."""

from __future__ import annotations

import ast
from collections.abc import Sequence

MOST_LAYERS = 100_000


def read_pattern(text: str) -> tuple[int, ...] | None:
    """`([1]*2+[0])*3` → (1, 1, 0, 1, 1, 0, 1, 1, 0); None for anything but lists of whole numbers,
    added and repeated."""
    if len(text) > 4096:
        return None
    try:
        expression = ast.parse(text.strip().strip("'\""), mode="eval").body
        found = _value(expression, 0)
    except (SyntaxError, ValueError, MemoryError, RecursionError, TypeError):
        return None
    return tuple(found) if isinstance(found, list) else None


def _value(node: ast.expr, depth: int) -> list[int] | int:
    if depth > 40:
        raise ValueError("too deep")
    if isinstance(node, ast.Constant) and type(node.value) is int and 0 <= node.value < 10**6:
        return node.value
    if isinstance(node, ast.List):
        items = [_value(item, depth + 1) for item in node.elts]
        return [item for item in items if isinstance(item, int)]
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, depth + 1), _value(node.right, depth + 1)
        if isinstance(node.op, ast.Mult) and isinstance(left, list) != isinstance(right, list):
            return _repeated(*((left, right) if isinstance(left, list) else (right, left)))
        if isinstance(node.op, ast.Add) and isinstance(left, list) and isinstance(right, list):
            return left + right
    raise ValueError("not a pattern")


def _repeated(items: list[int] | int, times: list[int] | int) -> list[int]:
    if not isinstance(items, list) or not isinstance(times, int):
        raise ValueError("not a pattern")
    if len(items) * times > MOST_LAYERS:
        raise ValueError("too long")
    return items * times


def first_and_frequency(chosen: Sequence[bool]) -> tuple[int, int] | None:
    """(first, n) such that from index `first` on exactly every n-th entry is chosen, the first
    `first` entries are not, and index i is chosen when i - first + 1 is a multiple of n. Where no
    entry is chosen, `first` is the length of the list. None where no such pair describes the list.
    """
    places = [index for index, one in enumerate(chosen) if one]
    if not places:
        return len(chosen), 1
    frequency = places[1] - places[0] if len(places) > 1 else 1
    first = places[0] - frequency + 1
    if len(places) == 1 and len(chosen) > 1 and places[0] < len(chosen) - 1:
        frequency = len(chosen) - places[0]
        first = places[0] - frequency + 1
    if first < 0:
        return None
    described = [
        index >= first and (index - first + 1) % frequency == 0 for index in range(len(chosen))
    ]
    return (first, frequency) if described == list(chosen) else None


def every_nth(chosen: Sequence[bool]) -> int | None:
    """n such that exactly entries n-1, 2n-1 … are chosen; 0 when none is; None otherwise."""
    if not any(chosen):
        return 0
    period = list(chosen).index(True) + 1
    described = [(index + 1) % period == 0 for index in range(len(chosen))]
    return period if described == list(chosen) else None
