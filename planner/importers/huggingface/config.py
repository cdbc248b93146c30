"""From a config.json to the keys of a model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

from planner.errors import InputError
from planner.importers.huggingface.facts import facts
from planner.importers.huggingface.families.common import Family, model_of
from planner.importers.huggingface.keys import Keys
from planner.importers.huggingface.layers import Model
from planner.importers.huggingface.refused import DESCRIBE, refusal
from planner.importers.huggingface.sizes import unread_sizes, unread_switches
from planner.importers.huggingface.types import TYPES
from planner.importers.notes import Notes, listed
from planner.specs.files.document import Location
from planner.specs.files.json_file import JsonFile
from planner.specs.files.spelling import did_you_mean, nearest
from planner.specs.units import describe

_TEXT_PARTS: tuple[tuple[str, ...], ...] = (
    ("text_config",),
    ("thinker_config", "text_config"),
    ("language_config",),
    ("llm_config",),
)
_OTHER_PARTS = ("vision_config", "audio_config", "vision_tower", "projector_config")
_CLASS_SUFFIXES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_ALIKE = 0.6
"""Two names of types count as alike from this share of common letters on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The mapping that describes the language model, where it stands, and the type it states."""

    mapping: Mapping[str, Any]
    at: Location
    stated: str | None


def looks_like_config(tree: Any) -> bool:
    """Whether JSON content is a model's config."""
    return isinstance(tree, dict) and any(
        key in tree for key in ("model_type", "architectures", "num_hidden_layers", "n_layer")
    )


def config_model(file: JsonFile, *, assume: str | None) -> tuple[Model, Notes]:
    """The model a config describes; `assume` is the type to read it as, where its own is unknown.

    Raises: InputError for an unknown type, at a missing or wrong key, and at a key that states a
    size and was not read.
    """
    notes = Notes()
    whole = file.mapping(file.tree)
    part = _text_part(file, whole, notes)
    family, assumed = _family(file, part, assume, notes)
    model = _read(file, part, family, notes, assumed=assumed)
    _note_rest(whole, part.mapping, model, notes)
    return model, notes


def _read(file: JsonFile, part: _Part, family: Family, notes: Notes, *, assumed: bool) -> Model:
    """Raises: InputError, also for a size that no part of the reader used."""
    keys = _keys(file, part, family, notes)
    model = model_of(family, keys)
    unread = keys.unread()
    sizes = list(unread_sizes(unread, assumed=assumed))
    if sizes:
        name = sizes[0]
        verb = "are" if sizes[2:] else "is"
        others = f", nor {verb} {listed(sizes[1:], most=5)}" if sizes[1:] else ""
        raise file.error(
            f"{describe(unread[name])} is not read by {family.class_name}{others}; the model may "
            "be much larger with it",
            (*part.at, name),
            hint=_advice(file, part, assumed=assumed),
        )
    switches = list(unread_switches(unread)) if assumed else []
    if switches:
        notes.left_out.append(
            f"switches that {family.class_name} does not have: {listed(switches)}"
        )
    return model


def _text_part(file: JsonFile, whole: Mapping[str, Any], notes: Notes) -> _Part:
    """The language model of a config that holds several models."""
    outer = whole.get("model_type")
    for path in _TEXT_PARTS:
        inner: Any = whole
        for name in path:
            inner = inner.get(name) if isinstance(inner, dict) else None
        if inner is None:
            continue
        mapping = file.mapping(inner, path)
        notes.read.append(f"{'.'.join(path)}, the language model of a larger one")
        usual = facts().text_types.get(outer, outer) if isinstance(outer, str) else None
        return _Part(
            mapping=_with_outer(mapping, whole),
            at=path,
            stated=_type_of(file, mapping.get("model_type"), path) or usual,
        )
    stated = _type_of(file, outer, ()) or _by_class(whole)
    return _Part(mapping=whole, at=(), stated=stated)


def _type_of(file: JsonFile, stated: object, at: Location) -> str | None:
    if stated is not None and not isinstance(stated, str):
        raise file.error(f"expected text, found {describe(stated)}", (*at, "model_type"))
    return stated or None


def _with_outer(mapping: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """Adds `tie_word_embeddings` from outside the language model's part, where it may be."""
    if "tie_word_embeddings" not in mapping and "tie_word_embeddings" in whole:
        return {**mapping, "tie_word_embeddings": whole["tie_word_embeddings"]}
    return mapping


def _family(file: JsonFile, part: _Part, assume: str | None, notes: Notes) -> tuple[Family, bool]:
    """The family to read the config as, and whether it differs from the stated type."""
    stated = part.stated
    if stated in TYPES and assume in (None, stated):
        notes.read.append(f"model_type {stated}")
        return TYPES[stated], False
    where = (*part.at, "model_type") if "model_type" in part.mapping else part.at
    if assume is None:
        refused = refusal(stated or "", part.mapping)
        if refused is not None:
            raise file.error(refused[0], where, hint=refused[1])
        shown = f"unknown model_type {stated[:60]!r}" if stated else "model_type is missing"
        raise file.error(f"{shown}; {len(TYPES)} types are known", where, hint=_nearest(file, part))
    if assume not in TYPES:
        raise file.error(
            f"--assume {assume[:60]!r} is not one of {', '.join(TYPES)}",
            hint=did_you_mean(assume, TYPES),
        )
    shown = (stated or "none")[:60]
    notes.assumed.append(f"the model is built like {assume} (model_type {shown})")
    return _without_sizes(TYPES[assume]), True


def _nearest(file: JsonFile, part: _Part) -> str:
    """Advice about a type that is unknown."""
    best = _reads_all(file, part)
    if best is not None:
        return (
            f"--assume {best}, the nearest known type, has all of its sizes; the layers may "
            "differ, so compare the parameters with those published"
        )
    near = nearest(part.stated or "", TYPES)
    if near is None:
        return f"no --assume TYPE reads all of its sizes; {DESCRIBE}"
    return f"--assume {near}, the nearest known type, cannot read it: {_trouble(file, part, near)}"


def _advice(file: JsonFile, part: _Part, *, assumed: bool) -> str:
    best = _reads_all(file, part) if assumed else None
    if best is not None:
        return f"--assume {best} would read it"
    return f"{DESCRIBE}, or delete what has no effect"


def _reads_all(file: JsonFile, part: _Part) -> str | None:
    """The type under which every size of the config is read: if there are several, the one with a
    similar name, else the one that reads the most keys."""
    found: dict[str, tuple[bool, int]] = {}
    for name in TYPES:
        try:
            keys = _tried(file, part, name)
        except InputError:
            continue
        if not any(unread_sizes(keys.unread(), assumed=True)):
            alike = SequenceMatcher(None, part.stated or "", name).ratio() >= _ALIKE
            found[name] = (alike, -len(keys.unread()))
    return max(found, key=lambda name: found[name], default=None)


def _trouble(file: JsonFile, part: _Part, name: str) -> str:
    """The reason why a family cannot read a config."""
    try:
        keys = _tried(file, part, name)
    except InputError as error:
        return error.message
    return f"{next(unread_sizes(keys.unread(), assumed=True), 'a size')} would be left"


def _tried(file: JsonFile, part: _Part, name: str) -> Keys:
    """The keys after a family has read them. Raises: InputError where it cannot."""
    keys = _keys(file, part, _without_sizes(TYPES[name]), Notes())
    model_of(TYPES[name], keys)
    return keys


def _keys(file: JsonFile, part: _Part, family: Family, notes: Notes) -> Keys:
    return Keys(
        file,
        part.mapping,
        part.at,
        defaults=family.defaults,
        class_name=family.class_name,
        notes=notes,
    )


def _without_sizes(family: Family) -> Family:
    return replace(family, defaults=_only_switches(family.defaults))


def _only_switches(defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    """Defaults that are not sizes: sizes of another type's class say nothing about this one."""
    return {key: value for key, value in defaults.items() if not _is_size(value)}


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _by_class(mapping: Mapping[str, Any]) -> str | None:
    """The type that the model's class names, for files without a type."""
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
