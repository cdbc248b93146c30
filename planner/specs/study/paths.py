"""Paths of the fields that a study changes: `nodes`, `network.bandwidth`, `model.num_layers`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from planner.specs.cluster.file import ClusterInput, NodeGroupInput
from planner.specs.files.spelling import did_you_mean
from planner.specs.study.file import StudyJobInput

if TYPE_CHECKING:
    from planner.specs.files.document import Document, Location, Tree

Home = Literal["job", "cluster", "model", "software", "search"]

EVERY = "*"
"""Key that stands for every entry of a list."""

_PART = re.compile(r"([a-z][a-z0-9_-]*)((?:\[[0-9]{1,6}\])*)")
_WHOLE: tuple[Home, ...] = ("cluster", "model", "software")
_ON_TOP = ("prices", "power", "reliability", "fabric", "links")
"""Blocks of a cluster file that a path may begin with."""


@dataclass(frozen=True, slots=True)
class FieldPath:
    """Where a value goes: into the job, or into a file; without keys it names the file."""

    home: Home
    keys: Location = ()


def parse_path(text: str) -> FieldPath:
    """Raises: ValueError that says what a path may begin with."""
    keys: list[str | int] = []
    for part in text.split("."):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{text[:80]!r} is no path of a field, such as network.bandwidth")
        keys.append(match[1])
        keys += [int(one) for one in re.findall(r"[0-9]+", match[2])]
    first, rest = keys[0], tuple(keys[1:])
    if first == "job" and rest:
        first, rest = rest[0], rest[1:]
    if first in StudyJobInput.model_fields and first != "software" and not rest:
        return FieldPath("job", (first,))
    for home in _WHOLE:
        if first == home:
            return FieldPath(home, rest)
    if first == "search" and len(rest) == 1:
        return FieldPath("search", rest)
    if first in _ON_TOP:
        return FieldPath("cluster", (first, *rest))
    if first in NodeGroupInput.model_fields:
        return FieldPath("cluster", ("node_groups", EVERY, first, *rest))
    known = [*StudyJobInput.model_fields, "cluster", "model", "search", *_ON_TOP]
    known += [name for name in NodeGroupInput.model_fields if name not in ClusterInput.model_fields]
    hint = did_you_mean(str(first), known)
    said = f"no field begins with {first}; a path begins with {', '.join(known)}"
    raise ValueError(f"{said}; {hint}" if hint else said)


def thawed(tree: Tree) -> Tree:
    """A tree that can be changed: lists in place of tuples."""
    if isinstance(tree, dict):
        return {key: thawed(value) for key, value in tree.items()}
    return [thawed(value) for value in tree] if isinstance(tree, tuple) else tree


def frozen(tree: Tree) -> Tree:
    """A tree as documents hold it."""
    if isinstance(tree, dict):
        return {key: frozen(value) for key, value in tree.items()}
    return tuple(frozen(value) for value in tree) if isinstance(tree, list) else tree


def with_value(document: Document, keys: Location, value: Document) -> None:
    """Puts a value into a document that nobody else holds, with the place where it stands. What a
    path leads through and is not there becomes a mapping; a device that is named becomes one like
    it. Raises: ValueError where the path leads through something else."""
    _put(document, document.tree, (), keys, value)


def _put(document: Document, tree: Tree, at: Location, keys: Location, value: Document) -> None:
    key, rest = keys[0], keys[1:]
    if key == EVERY or (isinstance(tree, list) and not isinstance(key, int)):
        left = rest if key == EVERY else keys
        if not isinstance(tree, list) or not tree:
            raise ValueError("the path leads through a list that is not there")
        for index in range(len(tree)):
            _into(document, tree, (*at, index), left, value)
        return
    if isinstance(tree, list) and isinstance(key, int) and key >= len(tree):
        raise ValueError(f"entry {key} of the path is not there; there are {len(tree)}")
    if not isinstance(tree, dict) and not (isinstance(tree, list) and isinstance(key, int)):
        raise ValueError("the path leads through a value that has no fields")
    if isinstance(tree, dict) and isinstance(key, int):
        raise ValueError(f"entry {key} of the path is in no list")
    _into(document, tree, (*at, key), rest, value)


def _into(document: Document, tree: Tree, at: Location, keys: Location, value: Document) -> None:
    key = at[-1]
    if keys:
        inner = tree.get(key) if isinstance(tree, dict) else tree[key]
        if inner is None:
            inner = {}
            for known, own in (
                (document.marks, value.marks),
                (document.key_marks, value.key_marks),
            ):
                if () in own:
                    known[at] = own[()]
        elif key == "device" and isinstance(inner, str):
            inner = {"like": inner}
        tree[key] = inner
        _put(document, inner, at, keys, value)
        return
    tree[key] = thawed(value.tree)
    document.marks.update({at + below: mark for below, mark in value.marks.items()})
    document.key_marks.update({at + below: mark for below, mark in value.key_marks.items()})
