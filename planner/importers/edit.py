"""Changes a YAML file and leaves the rest of its text as it is, including comments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from planner.importers.yaml_text import entry, flow, scalar


@dataclass(frozen=True, slots=True)
class _Change:
    """Replaces characters `start` to `end` by `text`."""

    start: int
    end: int
    text: str


def edited(text: str, before: Any, after: Any) -> str:
    """The text of a file whose content is `before`, changed to hold `after`. Entries that only
    `before` has are left alone. The text must be what the strict loader accepts."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    changes = sorted(_changes(text, root, before, after), key=lambda change: change.start)
    for change in reversed(changes):
        text = text[: change.start] + change.text + text[change.end :]
    return text


def plain_tree(tree: Any) -> Any:
    """A document's tree with lists in place of tuples."""
    if isinstance(tree, dict):
        return {key: plain_tree(value) for key, value in tree.items()}
    return [plain_tree(value) for value in tree] if isinstance(tree, tuple) else tree


def _changes(text: str, node: Any, before: Any, after: Any) -> list[_Change]:
    if _same(before, after):
        return []
    if isinstance(node, yaml.MappingNode) and isinstance(after, Mapping):
        return _mapping_changes(text, node, before, after)
    if (
        isinstance(node, yaml.SequenceNode)
        and isinstance(after, Sequence)
        and not isinstance(after, str)
        and len(node.value) == len(after)
    ):
        found: list[_Change] = []
        for child, old, new in zip(node.value, before, after, strict=True):
            found += _changes(text, child, old, new)
        return found
    return [_replacement(text, node, after)]


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return set(before) == set(after) and all(_same(before[key], after[key]) for key in after)
    if isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)):
        return len(before) == len(after) and all(map(_same, before, after))
    return type(before) is type(after) and bool(before == after)


def _mapping_changes(text: str, node: Any, before: Any, after: Mapping[str, Any]) -> list[_Change]:
    found: list[_Change] = []
    known = {key.value: value for key, value in node.value}
    added = {key: value for key, value in after.items() if key not in known}
    for key, child in known.items():
        if key in after:
            found += _changes(text, child, before[key], after[key])
    if added and node.flow_style:
        inserted = ", ".join(f"{scalar(key)}: {flow(value)}" for key, value in added.items())
        end = text.rindex("}", node.start_mark.index, node.end_mark.index)
        comma = ", " if known else ""
        found.append(_Change(end, end, f"{comma}{inserted}"))
    elif added:
        indent = node.start_mark.column
        lines = [line for key, value in added.items() for line in entry(key, value, indent)]
        end = _end_of_line(text, _last_index(node))
        found.append(_Change(end, end, "\n" + "\n".join(lines)))
    return found


def _replacement(text: str, node: Any, after: Any) -> _Change:
    """A value in new text: on one line if it was on one line before."""
    start, end = node.start_mark.index, _last_index(node)
    if start == end:
        return _Change(start, end, f" {flow(after)}")
    block = isinstance(node, (yaml.MappingNode, yaml.SequenceNode)) and not node.flow_style
    if not block:
        return _Change(start, end, flow(after))
    indent = node.start_mark.column
    first_line = text.rfind("\n", 0, start) + 1
    if text[first_line:start].strip():
        return _Change(start, end, flow(after))
    lines = entry("x", after, 0)
    if len(lines) == 1:
        return _Change(start, end, lines[0].removeprefix("x: "))
    body = [f"{' ' * (indent - 2)}{line}" if line else line for line in lines[1:]]
    return _Change(first_line, end, "\n".join(body))


def _last_index(node: Any) -> int:
    """Index at which the last character of a node's own text ends, without comments after it."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style:
        return int(node.end_mark.index)
    if not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _last_index(last[1] if isinstance(node, yaml.MappingNode) else last)


def _end_of_line(text: str, index: int) -> int:
    newline = text.find("\n", index)
    return len(text) if newline < 0 else newline
