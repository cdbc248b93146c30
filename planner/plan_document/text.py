"""Canonical JSON text: the contract's key order, one line for what is short, LF, ASCII."""

from __future__ import annotations

import json
from typing import Any

from planner.wording.printable import log_json

LINE_LENGTH = 100
SIGNIFICANT_DIGITS = 9


def to_text(document: dict[str, Any]) -> str:
    """JSON text of `document`, newline at the end. Floats keep 9 significant digits, so that the
    last bits of a sum never change a file; ValueError for numbers that are not finite."""
    return log_json(_render(rounded(document), indent=0, prefix=0)) + "\n"


def rounded(value: Any) -> Any:
    """The value with the significant digits that files have."""
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") + 0.0
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def _render(value: Any, *, indent: int, prefix: int) -> str:
    """`prefix`: characters that stand before the value on its line."""
    flat = json.dumps(value, allow_nan=False)
    if indent + prefix + len(flat) < LINE_LENGTH or not _nested(value):
        return flat
    inner = indent + 2
    if isinstance(value, dict):
        items = [
            f"{json.dumps(key)}: {_render(item, indent=inner, prefix=len(key) + 4)}"
            for key, item in value.items()
        ]
        opening, closing = "{", "}"
    else:
        items = [_render(item, indent=inner, prefix=0) for item in value]
        opening, closing = "[", "]"
    body = ",\n".join(" " * inner + item for item in items)
    return f"{opening}\n{body}\n{' ' * indent}{closing}"


def _nested(value: Any) -> bool:
    """Whether breaking the line helps: lists of plain values stay on one line at any length."""
    if isinstance(value, dict):
        return bool(value)
    return isinstance(value, list) and any(isinstance(item, dict | list) for item in value)
