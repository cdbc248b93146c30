"""Every key of a file format, from its JSON Schema, with an example from files that state it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Tree = Mapping[str, Any]
MOST_DEPTH = 8
_TYPES = {"integer": "whole number", "boolean": "true or false", "string": "text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """`path` is dotted, with `[]` after a list and `*` for a key of the user's own. `default` is
    None where there is none, `required` says that the key may not be left out."""

    path: str
    kind: str
    default: Any
    required: bool
    meaning: str


def keys_of(schema: Tree, *, without: tuple[str, ...] = ()) -> tuple[Key, ...]:
    """The keys of a schema, outermost first, each once, and nothing inside the keys `without`.
    Constants (`value`, `basis`, `source`) are one key."""
    found: dict[str, Key] = {}
    for key in _within(schema, schema, "", 0):
        if not any(key.path.startswith(f"{one}.") for one in without):
            found.setdefault(key.path, key)
    return tuple(found.values())


def _within(schema: Tree, part: Tree, path: str, depth: int) -> Iterator[Key]:
    for choice in _choices(schema, part):
        if "items" in choice and isinstance(choice["items"], Mapping):
            yield from _within(schema, choice["items"], f"{path}[]", depth)
        for entry in choice.get("prefixItems", ()):
            yield from _within(schema, entry, f"{path}[]", depth)
        extra = choice.get("additionalProperties")
        if isinstance(extra, Mapping):
            yield from _within(schema, extra, f"{path}.*" if path else "*", depth)
        if depth >= MOST_DEPTH or _is_constant(choice):
            continue
        for name, inner in choice.get("properties", {}).items():
            inside = f"{path}.{name}" if path else name
            yield Key(
                path=inside,
                kind=_kind(schema, inner),
                default=inner.get("default"),
                required=name in choice.get("required", ()),
                meaning=_meaning(schema, inner),
            )
            yield from _within(schema, inner, inside, depth + 1)


def _choices(schema: Tree, part: Tree) -> Iterator[Tree]:
    """What a part of a schema may be, references followed."""
    if "$ref" in part:
        part = {**_referred(schema, part["$ref"]), **{k: v for k, v in part.items() if k != "$ref"}}
    for name in ("anyOf", "oneOf", "allOf"):
        for one in part.get(name, ()):
            yield from _choices(schema, one)
    yield part


def _referred(schema: Tree, reference: str) -> Tree:
    found: Any = schema
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    if "$ref" in found:
        return _referred(schema, found["$ref"])
    return dict(found)


def _is_constant(part: Tree) -> bool:
    return {"value", "basis", "source"} <= set(part.get("properties", ()))


def _kind(schema: Tree, part: Tree) -> str:
    """What a value is, in words."""
    words: list[str] = []
    for choice in _choices(schema, part):
        if "const" in choice:
            words.append(f"`{choice['const']}`")
        elif "enum" in choice:
            words += [f"`{one}`" for one in choice["enum"]]
        elif _is_constant(choice):
            words.append("constant")
        elif choice.get("type") == "object":
            words.append("mapping")
        elif choice.get("type") == "array":
            words.append("list")
        elif isinstance(choice.get("type"), str) and choice["type"] != "null":
            words.append(_TYPES.get(choice["type"], str(choice["type"])))
    return ", ".join(dict.fromkeys(words)) or "any"


def _meaning(schema: Tree, part: Tree) -> str:
    stated = (str(one["description"]) for one in _choices(schema, part) if "description" in one)
    own = part.get("description")
    return " ".join(str(own or next(stated, "")).split())


def stated(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The keys that a file states, with their values. Keys of a mapping count as the user's own
    too, so that each is there twice: by its name and as `*`."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            for inside in (f"{path}.{name}" if path else str(name), f"{path}.*" if path else "*"):
                yield inside, value
                yield from stated(value, inside)
    elif isinstance(tree, list | tuple):
        for entry in tree:
            yield from stated(entry, f"{path}[]")
