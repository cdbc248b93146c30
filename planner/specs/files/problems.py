"""pydantic's findings in the words of the file: where, what was found, what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from planner.errors import InputError
from planner.specs.files.annotations import entry_of, is_model, unwrapped
from planner.specs.files.document import Document, Location
from planner.specs.files.spelling import did_you_mean, nearest
from planner.specs.files.width import refuse_wide
from planner.specs.units import describe, show_number

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("above", "gt"),
    "less_than": ("below", "lt"),
}


def validate(document: Document, model: type[M], *, context: object = None) -> M:
    """The document as a value of the model. Raises: InputError with every problem found, each at
    its place, in file order."""
    if not isinstance(document.tree, dict):
        found = describe(document.tree)
        raise document.error(f"expected a mapping, found {found}; keys: {_keys(model)}")
    refuse_wide(document, model)
    try:
        return model.model_validate(document.tree, context=context)
    except ValidationError as error:
        findings = error.errors(include_url=False)
        raise InputError.of(in_order(_problems(document, model, findings))) from None


def in_order(problems: Iterable[InputError]) -> list[InputError]:
    """Problems as they stand in their files."""
    return sorted(problems, key=lambda one: (one.path or "", one.line or 0, one.column or 0))


def _keys(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)


def _problems(
    document: Document, model: type[BaseModel], findings: list[Any]
) -> Iterator[InputError]:
    """One error for each thing to mend: a misspelt key is not missing as well, and the keys a
    mapping lacks are named together."""
    missing: dict[Location, list[str]] = {}
    meant: set[Location] = set()
    for finding in findings:
        location: Location = finding["loc"]
        if finding["type"] == "missing" and isinstance(location[-1], str):
            missing.setdefault(location[:-1], []).append(location[-1])
        elif finding["type"] == "extra_forbidden":
            known = _keys_at(model, location[:-1])
            near = nearest(str(location[-1]), known)
            if near:
                meant.add((*location[:-1], near))
            yield document.error(
                f"unknown key; allowed: {', '.join(known)}",
                location,
                key=True,
                hint=f"did you mean {near}?" if near else None,
            )
        elif not _follows_from_another(finding, findings):
            yield _problem(document, finding)
    for location, names in missing.items():
        lacking = [name for name in names if (*location, name) not in meant]
        if lacking:
            verb = "is" if len(lacking) == 1 else "are"
            yield document.error(f"{', '.join(lacking)} {verb} missing", location)


def _follows_from_another(finding: Any, findings: list[Any]) -> bool:
    """A list whose entries are wrong also counts as too short."""
    size = len(finding["loc"])
    return finding["type"] == "too_short" and any(
        len(other["loc"]) > size and other["loc"][:size] == finding["loc"] for other in findings
    )


def _problem(document: Document, finding: Any) -> InputError:
    location: Location = finding["loc"]
    kind, found, context = finding["type"], finding["input"], finding.get("ctx", {})
    if kind == "missing":
        return document.error("has too few entries", location[:-1])
    if kind == "rule":
        return document.error(context["text"], location + tuple(context.get("at", ())))
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", context["expected"])
        message = f"found {describe(found)}; allowed: {', '.join(allowed)}"
        hint = did_you_mean(found, allowed) if isinstance(found, str) else None
        return document.error(message, location, hint=hint)
    return document.error(_message(kind, found, context, finding["msg"]), location)


def _message(kind: str, found: Any, context: dict[str, Any], otherwise: str) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind == "int_type" and isinstance(found, float) and found.is_integer():
        return f"expected a whole number, found a decimal one; write {show_number(found)}"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, found {describe(found)}{_advice(kind, found)}"
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        return f"must be {words} {show_number(context[name])}, found {show_number(found)}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"expected a mapping, found {describe(found)}"
    if kind == "string_pattern_mismatch":
        return f"{found[:60]!r} is not allowed; it must match {context['pattern']}"
    if kind == "string_too_short":
        return "must not be empty"
    if kind == "string_too_long":
        return f"is longer than {context['max_length']} characters"
    if kind == "too_short":
        return f"needs at least {context['min_length']}, found {context['actual_length']}"
    if kind == "too_long":
        return f"takes at most {context['max_length']}, found {len(found)}"
    return otherwise


def _advice(kind: str, found: Any) -> str:
    if kind == "string_type" and isinstance(found, (bool, int, float)):
        return "; put it in quotes"
    if kind != "string_type" and isinstance(found, str):
        if kind == "bool_type" and found.lower() in ("yes", "no", "on", "off"):
            return f"; write {'true' if found.lower() in ('yes', 'on') else 'false'}"
        if re.fullmatch(r"0[0-9]+", found):
            return "; leave the leading zeros out"
        if re.fullmatch(r"[0-9.eE+-]+", found):
            return "; take the quotes away"
    return ""


def _keys_at(model: type[BaseModel], location: Location) -> list[str]:
    owner = _model_at(model, location)
    return list(owner.model_fields) if owner else []


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel] | None:
    """The model that describes the part of the document at a location."""
    current: Any = model
    for key in location:
        if isinstance(key, int):
            current = entry_of(current)
        elif is_model(current):
            field = current.model_fields.get(key)
            current = unwrapped(field.annotation) if field else None
        else:
            current = None
    return current if is_model(current) else None
