"""Anchors, aliases and merge keys of YAML: every alias becomes the content of its anchor, within a
limit, and entries of merge keys become those of the mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from planner.errors import InputError
from planner.specs.files.document import Document, Location, Tree

MOST_REPEATED = 100_000
"""Parts of a document that aliases repeat, all together: a few lines of aliases of aliases stand
for billions."""

MERGE = "<<"

Refuse = Callable[[yaml.Event, str], InputError]


@dataclass(slots=True)
class _Anchored:
    """The events of an anchor: from one place in the list of all to another, once it is closed."""

    start: int
    depth: int
    end: int | None = None


def without_aliases(events: Iterator[yaml.Event], refuse: Refuse) -> Iterator[yaml.Event]:
    """The events, those of an anchor again in place of each of its aliases.

    Args:
        refuse: Makes the error about an event.

    Raises: InputError for an alias without an anchor above it or inside its own anchor, and where
    aliases repeat more than `MOST_REPEATED` parts.
    """
    seen: list[yaml.Event] = []
    anchors: dict[str, _Anchored] = {}
    still_open: list[_Anchored] = []
    depth = repeated = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            for part in _content(event, anchors, seen, refuse):
                repeated += 1
                if repeated > MOST_REPEATED:
                    raise refuse(
                        event, f"aliases repeat more than {MOST_REPEATED:,} parts of the file"
                    )
                seen.append(part)
                yield part
            continue
        depth -= isinstance(event, yaml.CollectionEndEvent)
        name = _anchor(event)
        if name is not None:
            anchors[name] = _Anchored(start=len(seen), depth=depth)
            still_open.append(anchors[name])
        seen.append(event)
        yield event
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif still_open and still_open[-1].depth == depth:
            still_open.pop().end = len(seen)


def _anchor(event: Any) -> str | None:
    return event.anchor if isinstance(event, yaml.NodeEvent) else None


def _content(
    event: Any, anchors: dict[str, _Anchored], seen: list[yaml.Event], refuse: Refuse
) -> Iterator[yaml.Event]:
    name = str(event.anchor)[:60]
    found = anchors.get(event.anchor)
    if found is None:
        raise refuse(event, f"alias *{name}, and no anchor &{name} above it")
    if found.end is None:
        raise refuse(event, f"alias *{name} inside its own anchor &{name}")
    return (seen[index] for index in range(found.start, found.end))


def merge_entries(document: Document, content: dict[str, Tree], location: Location) -> None:
    """Put what the merge key of a mapping stands for into the mapping, with its places. Entries of
    the mapping count before those of the merge key, and of several mappings the first
    (yaml.org/type/merge.html).

    Args:
        content: The entries of the mapping; changed.
        location: Where the mapping stands.

    Raises: InputError for a merge key of what is no mapping.
    """
    at = (*location, MERGE)
    merged = content.pop(MERGE)
    several = isinstance(merged, tuple)
    for index, one in enumerate(merged if several else (merged,)):
        start = (*at, index) if several else at
        if not isinstance(one, dict):
            raise document.error("a merge key takes mappings", start)
        for key, value in one.items():
            if key not in content:
                content[key] = value
                _keep_places(document, value, (*start, key), (*location, key))


def _keep_places(document: Document, value: Tree, old: Location, new: Location) -> None:
    """Give a value at a new location, and what is in it, the places of an old one."""
    left = [(value, old, new)]
    while left:
        tree, was, now = left.pop()
        document.marks[now] = document.marks[was]
        if was in document.key_marks:
            document.key_marks[now] = document.key_marks[was]
        if isinstance(tree, dict):
            left.extend((part, (*was, key), (*now, key)) for key, part in tree.items())
        elif isinstance(tree, tuple):
            left.extend((part, (*was, i), (*now, i)) for i, part in enumerate(tree))
