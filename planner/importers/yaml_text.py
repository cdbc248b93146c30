"""Plain values as YAML text that the planner's strict loader reads back unchanged."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from planner.wording.printable import printable, quoted

WIDTH = 100

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._/+-]*|[0-9]+(\.[0-9]+)? [A-Za-z/]+")
_CONSTANTS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def to_yaml(mapping: Mapping[str, Any], comment: Iterable[str] = ()) -> str:
    """A document: the comment's lines, then the mapping in block style; a value that fits on one
    line is in flow style."""
    lines = [wrapped for line in comment for wrapped in comment_lines(line)]
    lines += _block(mapping, 0)
    return "\n".join(lines) + "\n"


def comment_lines(text: str) -> list[str]:
    """A sentence as comment lines of readable width."""
    return textwrap.wrap(
        printable(" ".join(text.split())),
        WIDTH,
        initial_indent="# ",
        subsequent_indent="#   ",
        break_long_words=False,
        break_on_hyphens=False,
    ) or ["#"]


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return scalar(value)


def scalar(value: object) -> str:
    """A scalar that reads back as the same value; text in quotes where it could be taken for
    something else."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _CONSTANTS:
        return text
    return quoted(text)


def entry(key: str, value: Any, indent: int) -> list[str]:
    """The lines of one entry of a block mapping."""
    margin = " " * indent
    inline = f"{margin}{scalar(key)}: {flow(value)}"
    if not isinstance(value, (Mapping, list, tuple)) or not value:
        return [inline]
    if _is_shallow(value) and len(inline) <= WIDTH:
        return [inline]
    if isinstance(value, Mapping):
        return [f"{margin}{scalar(key)}:", *_block(value, indent + 2)]
    return [f"{margin}{scalar(key)}:", *_items(value, indent + 2)]


def _block(mapping: Mapping[str, Any], indent: int) -> list[str]:
    return [line for key, value in mapping.items() for line in entry(key, value, indent)]


def _items(values: Sequence[Any], indent: int) -> list[str]:
    lines: list[str] = []
    margin = " " * indent
    for value in values:
        inline = f"{margin}- {flow(value)}"
        if not isinstance(value, Mapping) or (_is_shallow(value) and len(inline) <= WIDTH):
            lines.append(inline)
            continue
        body = _block(value, indent + 2)
        lines += [f"{margin}- {body[0].lstrip()}", *body[1:]]
    return lines


def _is_shallow(value: Mapping[str, Any] | Sequence[Any]) -> bool:
    """Whether a value reads well on one line: a mapping of scalars or of short lists, a list of
    scalars or of such mappings."""
    if isinstance(value, Mapping):
        return len(value) <= 5 and all(_is_small(part) for part in value.values())
    return not any(isinstance(item, Mapping) and not _is_shallow(item) for item in value)


def _is_small(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) <= 4 and not any(isinstance(one, (Mapping, list, tuple)) for one in value)
    return not isinstance(value, Mapping)
