"""From a config.json to the keys of a model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from planner.importers.huggingface.families import Family, model_of
from planner.importers.huggingface.keys import Keys
from planner.importers.huggingface.layers import Model
from planner.importers.huggingface.types import TYPES
from planner.importers.notes import Notes
from planner.specs.files.document import Location
from planner.specs.files.json_file import JsonFile
from planner.specs.files.spelling import did_you_mean
from planner.specs.units import describe

_TEXT_PARTS = ("text_config", "language_config", "llm_config")
_OTHER_PARTS = ("vision_config", "audio_config", "vision_tower", "projector_config")
_CLASS_SUFFIXES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


def looks_like_config(tree: Any) -> bool:
    """Whether JSON content is a model's config."""
    return isinstance(tree, dict) and any(
        key in tree for key in ("model_type", "architectures", "num_hidden_layers", "n_layer")
    )


def config_model(file: JsonFile, *, assume: str | None) -> tuple[Model, Notes]:
    """The model a config describes; `assume` is the type to read it as where its own is unknown.

    Raises: InputError for an unknown type, and at the key that is missing or wrong.
    """
    notes = Notes()
    whole = file.mapping(file.tree)
    mapping, at = _text_part(file, whole, notes)
    kind = _kind(file, mapping, whole, at, assume, notes)
    keys = Keys(
        file,
        _with_outer(mapping, whole, at),
        at,
        defaults=kind.defaults,
        class_name=kind.class_name,
        notes=notes,
    )
    model = model_of(kind, keys)
    _note_rest(whole, mapping, model, notes)
    return model, notes


def _text_part(
    file: JsonFile, whole: Mapping[str, Any], notes: Notes
) -> tuple[Mapping[str, Any], Location]:
    """The language model of a config that holds several models."""
    for part in _TEXT_PARTS:
        if whole.get(part) is not None:
            notes.read.append(f"{part}, the language model")
            return file.mapping(whole[part], (part,)), (part,)
    return whole, ()


def _with_outer(
    mapping: Mapping[str, Any], whole: Mapping[str, Any], at: Location
) -> Mapping[str, Any]:
    """Whether embeddings are tied may be said outside of the language model's part."""
    if at and "tie_word_embeddings" not in mapping and "tie_word_embeddings" in whole:
        return {**mapping, "tie_word_embeddings": whole["tie_word_embeddings"]}
    return mapping


def _kind(
    file: JsonFile,
    mapping: Mapping[str, Any],
    whole: Mapping[str, Any],
    at: Location,
    assume: str | None,
    notes: Notes,
) -> Family:
    stated = mapping.get("model_type", None if at else _by_class(mapping))
    if stated is None and at:
        stated = whole.get("model_type")
    if isinstance(stated, str) and stated in TYPES and assume in (None, stated):
        notes.read.append(f"model_type {stated}")
        return TYPES[stated]
    where = (*at, "model_type")
    known = ", ".join(TYPES)
    if assume is None:
        if stated is not None and not isinstance(stated, str):
            raise file.error(f"expected text, found {describe(stated)}", where)
        shown = f"unknown model_type {stated[:60]!r}" if stated else "model_type is missing"
        raise file.error(
            f"{shown}; known: {known}",
            where if stated else at,
            hint=did_you_mean(stated[:60], TYPES) if stated else "--assume TYPE reads it as one",
        )
    if assume not in TYPES:
        raise file.error(
            f"--assume {assume[:60]!r} is not one of {known}", hint=did_you_mean(assume, TYPES)
        )
    shown = str(stated)[:60] if stated else "none"
    notes.assumed.append(f"the model is built like {assume} (model_type {shown})")
    family = TYPES[assume]
    if assume == stated:
        return family
    return replace(family, defaults=_only_switches(family.defaults))


def _only_switches(defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    """Defaults that are no sizes: those of another type's class say nothing about this one."""
    return {key: value for key, value in defaults.items() if not _is_size(value)}


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _by_class(mapping: Mapping[str, Any]) -> str | None:
    """The type named by the class of the model, for files without a type."""
    listed = mapping.get("architectures")
    if not isinstance(listed, list) or not listed or not isinstance(listed[0], str):
        return None
    name = listed[0]
    for suffix in _CLASS_SUFFIXES:
        name = name.removesuffix(suffix)
    flat = name.lower()
    return next((kind for kind in TYPES if kind.replace("_", "").lower() == flat), None)


def _note_rest(
    whole: Mapping[str, Any], mapping: Mapping[str, Any], model: Model, notes: Notes
) -> None:
    parts = [part for part in _OTHER_PARTS if whole.get(part) is not None]
    if parts:
        notes.left_out.append(f"{', '.join(parts)}: only the language model is planned for")
    if mapping.get("quantization_config") or whole.get("quantization_config"):
        notes.left_out.append("quantization_config: how the checkpoint is stored, not trained")
    if "seq_length" in model and "training" not in model:
        notes.assumed.append(
            f"seq_length {model['seq_length']}, the longest the model takes, is a job's default; "
            "state training.seq_length for another"
        )
