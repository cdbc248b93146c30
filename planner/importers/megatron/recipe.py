"""Recipes by name: `run_recipe.py --recipe llama31_8b_pretrain_config model.num_layers=16`.

Megatron-Bridge (067f987d, August 2026), `scripts/training/run_recipe.py` and
`scripts/performance/argument_parser.py`; NeMo 2, `nemo llm pretrain --factory llama3_8b` and
`llm.llama3_8b.pretrain_recipe()`. The sizes are those of the published model that the name means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from planner.errors import InputError
from planner.importers.notes import Notes, listed
from planner.importers.published.names import (
    nearest_published,
    published_model,
    published_name,
)
from planner.importers.published.settings import apply_settings
from planner.importers.shell.ran import Followed
from planner.importers.shell.run import follow
from planner.importers.shell.text import Origin, Text, is_known, plain, script_of_file, unset_in
from planner.importers.source import Source

_NAMING = (
    "--recipe",
    "--recipe_name",
    "--recipe-name",
    "--factory",
    "--model_recipe_name",
    "-mr",
)
_BY_PARTS = ("--model_name", "--model_size")
"""Older scripts name family and size separately: `--model_name llama3 --model_size 8b`."""
_MENTIONED = re.compile(r"--(?:recipe|recipe[_-]name|factory|model_recipe_name|model_size)\b")
_IN_PYTHON = re.compile(
    r"\bllm\.([a-z0-9_]+)\.(?:pretrain|finetune)_recipe\(|\b([a-z0-9_]+_config)\(\)"
)
_OVERRIDE = re.compile(r"\+{0,2}(model|train|dataset)\.([a-z_]+)=(.*)", re.DOTALL)
_TRAINING = {
    ("train", "global_batch_size"): "global_batch_size",
    ("model", "seq_length"): "seq_length",
    ("dataset", "seq_length"): "seq_length",
    ("dataset", "sequence_length"): "seq_length",
}


def names_recipe(text: str) -> bool:
    """Whether a text runs a recipe and names it."""
    return _MENTIONED.search(text) is not None or _in_python(text) is not None


def _in_python(text: str) -> str | None:
    for match in _IN_PYTHON.finditer(text):
        name = match[1] or match[2]
        if published_name(name):
            return name
    return None


def recipe_model(
    source: Source, *, given: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], Notes]:
    """The keys of the model file of the recipe that a script runs, with the script's overrides.

    Raises: InputError where no published model is known by its name.
    """
    name, place, words = _recipe(source, given or {})
    found = published_name(name)
    if found is None:
        raise InputError(
            f"{name[:80]!r} is not a recipe of a model whose sizes are known here",
            path=place.path,
            line=place.line,
            column=place.column,
            hint=nearest_published(name) or "import the config.json of the model it trains",
        )
    model, notes = published_model(found)
    notes.read.insert(0, f"the recipe {name} on line {place.line}")
    if not words:
        notes.left_out.append("settings of the command: the script ends before it, or is Python")
    settings: dict[str, Any] = {}
    training: dict[str, Any] = {}
    unread: list[str] = []
    for word in words:
        match = _OVERRIDE.fullmatch(plain(word))
        if match is None:
            continue
        value = match[3].strip("'\"")
        if (match[1], match[2]) in _TRAINING and value.isdigit():
            training[_TRAINING[match[1], match[2]]] = int(value)
        elif match[1] == "model":
            settings[match[2]] = int(value) if value.isdigit() else None
        else:
            unread.append(f"{match[1]}.{match[2]}")

    def error(message: str, key: str) -> InputError:
        return InputError(f"model.{key}: {message}", path=place.path, line=place.line)

    model = apply_settings(model, settings, notes, error=error)
    if training:
        model["training"] = {**model.get("training", {}), **training}
    if unread:
        notes.left_out.append(f"overrides without a place here: {listed(unread)}")
    return model, notes


def _recipe(source: Source, given: Mapping[str, str]) -> tuple[str, Origin, tuple[Text, ...]]:
    """The recipe's name, where it stands, and the words of its command. Raises: InputError."""
    if _MENTIONED.search(source.text) is None:
        name = _in_python(source.text) or ""
        before = source.text[: source.text.index(name)]
        return name, Origin(source.path, before.count("\n") + 1, 1), ()
    followed = follow(
        script_of_file(source.text, source.path),
        given=given,
        is_nested_script=lambda text: _MENTIONED.search(text) is not None,
        read_file=lambda name: None,
    )
    for ran in followed.commands:
        words = tuple(ran.words)
        named = _named(words)
        if named:
            return named, ran.origin, words
    held = _in_variables(followed)
    if held is not None:
        return held[1], held[2], ()
    unset = [name for ran in followed.commands for name in _unset(tuple(ran.words))]
    by_name = "`planner import model NAME` imports a recipe by its name"
    hint = f"give it with --set {unset[0]}=…" if unset else by_name
    raise source.error("runs a recipe whose name is not in this file", hint=hint)


def _in_variables(followed: Followed) -> tuple[str, str, Origin] | None:
    """A recipe that a variable names, in a script that ends before it runs it: the variable, its
    value and place. One called RECIPE counts before one called MODEL."""
    found = []
    for name, value in followed.variables.items():
        text = value if isinstance(value, tuple) else None
        word = next((one for one in ("RECIPE", "MODEL") if one in name.upper()), None)
        if word and text and is_known(text):
            unknown = published_name(plain(text)) is None
            if not unknown or (word == "RECIPE" and "_" in plain(text)):
                found.append((unknown, word == "MODEL", name, plain(text), text[0].origin))
    if not found:
        return None
    _, _, name, recipe, place = min(found, key=lambda one: one[:3])
    return name, recipe, place


def _unset(words: tuple[Text, ...]) -> Iterator[str]:
    """Variables in the words that name the recipe, which the file leaves to the environment."""
    for index, word in enumerate(words):
        name, equals, _ = plain(word).partition("=")
        if name in (*_NAMING, *_BY_PARTS):
            yield from unset_in(word if equals else _after(words, index))


def _after(words: tuple[Text, ...], index: int) -> Text:
    return words[index + 1] if index + 1 < len(words) else ()


def _named(words: tuple[Text, ...]) -> str | None:
    values = dict(_flags(words))
    for flag in _NAMING:
        if values.get(flag):
            return values[flag]
    parts = [values.get(flag, "") for flag in _BY_PARTS]
    return "_".join(parts) if all(parts) else None


def _flags(words: tuple[Text, ...]) -> Iterator[tuple[str, str]]:
    """Flags with the words after them, or after their equals sign, where these are known."""
    for index, word in enumerate(words):
        name, equals, value = plain(word).partition("=")
        if equals and name in (*_NAMING, *_BY_PARTS) and is_known(word):
            yield name, value
        elif index + 1 < len(words) and is_known(words[index + 1]):
            yield name, plain(words[index + 1])
