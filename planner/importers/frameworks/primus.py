"""Primus: a model by the name of its file, with the settings that an experiment changes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from planner.errors import InputError
from planner.importers.notes import Notes
from planner.importers.published.named import model_named
from planner.importers.published.settings import apply_settings, batch_settings
from planner.specs.files.document import Document, Location

_DEFAULT = re.compile(r"\$\{[A-Za-z_]\w*:-?([^{}]*)\}")
_TRAINING = {
    "global_batch_size": "global_batch_size",
    "seq_length": "seq_length",
    "seq_len": "seq_length",
}
_SOFTWARE = {"megatron": "megatron-core", "torchtitan": "torchtitan"}


def is_one(tree: Mapping[str, Any]) -> bool:
    return next(_trainers(tree), None) is not None


def _trainers(tree: Mapping[str, Any]) -> Iterator[tuple[Location, Mapping[str, Any]]]:
    modules = tree.get("modules")
    for name, module in modules.items() if isinstance(modules, dict) else ():
        if isinstance(module, dict) and "framework" in module and "model" in module:
            yield ("modules", name), module


def model(document: Document, vocabulary: int | None) -> tuple[dict[str, Any], Notes]:
    """The model of the first trainer. Raises: InputError for a model that is unknown, and at a
    setting that is wrong."""
    at, module = next(_trainers(document.tree))
    found, notes = model_named(document, str(_value(module["model"])), (*at, "model"))
    overrides = module.get("overrides")
    settings = _flat(overrides) if isinstance(overrides, dict) else {}

    def error(message: str, key: str) -> InputError:
        return document.error(message, (*at, "overrides", key))

    found = apply_settings(found, settings, notes, error=error)
    training: dict[str, Any] = dict(batch_settings(settings, _TRAINING, notes, error=error))
    software = _SOFTWARE.get(str(module["framework"]))
    if software is not None:
        training["software"] = software
    found["training"] = {**found.get("training", {}), **training}
    return found, notes


def _flat(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their own names, those of groups such as `training:` too."""
    flat: dict[str, Any] = {}
    for key, value in overrides.items():
        if isinstance(value, dict):
            flat |= {inner: _value(one) for inner, one in value.items()}
        else:
            flat[key] = _value(value)
    return flat


def _value(stated: Any) -> Any:
    """`${NAME:8}` is 8 unless the environment says otherwise."""
    if not isinstance(stated, str) or _DEFAULT.search(stated) is None:
        return stated
    text = _DEFAULT.sub(lambda match: match[1], stated)
    return int(text) if text.isdigit() else text
