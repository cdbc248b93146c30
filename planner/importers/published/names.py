"""Finds the published model that a framework's name for it means."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from planner.errors import InputError
from planner.importers.huggingface.config import config_model
from planner.importers.huggingface.refused import refusal
from planner.importers.notes import Notes
from planner.specs.files.json_file import JsonFile
from planner.specs.files.spelling import nearest

_FILE = Path(__file__).with_name("models.json")
_VERSION = re.compile(r"[-_]v0\.\d+$")
_SEPARATORS = re.compile(r"[-_. /]+")
_FAMILY = re.compile(r"(llama|qwen|deepseek|mi[sx]tral|gemma|glm)[-_ ]?v?(\d+(?:\.\d+)?)?")
_OF_VERSIONS = re.compile(r"v(?=\d)")
_SHORTEST_FAMILY = 4
"""Letters of a family's name that are enough to find it inside another name."""
_OF_A_RECIPE = """
b200 b300 base bf16 chat config e2e energon finetune fp16 fp8 full gb200 gb300 h100 h200 hf instruct
it lora meta mock model mxfp8 nvfp4 packed peft perf performance pretrain pt recipe sft
thinking unpacked
"""
_NOISE = frozenset(_OF_A_RECIPE.split())
"""Words of a name that say how a model is trained or tuned, not which model it is."""
_OTHER_NOISE = re.compile(r"\d+k|\d+nodes?|\d+gpus?|2[3-9](?:0\d|1[0-2])")
"""Further ones: lengths, sizes of clusters, and the year and month of a release."""


@cache
def _models() -> Mapping[str, Mapping[str, Any]]:
    models: Mapping[str, Mapping[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))
    return models


@cache
def _by_short_name() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, entry in _models().items():
        for one in (name, *entry.get("also", ())):
            found.setdefault(_short(one), name)
    return found


@cache
def _by_own_name() -> Mapping[str, str]:
    """Names on the Hub by what follows the owner, whole: a tuned model may have another vocabulary
    than the one it comes from."""
    return {name.rpartition("/")[2].lower(): name for name in _models()}


def _short(name: str) -> str:
    """`meta-llama/Llama-3.1-8B-Instruct`, `llama31_8b_pretrain_config` → "llama318b"."""
    last = name.strip().lower().rstrip("/").rpartition("/")[2]
    last = _VERSION.sub("", last.removesuffix(".yaml").removesuffix(".yml"))
    words = [word for word in _SEPARATORS.split(last) if word and word not in _NOISE]
    return "".join(word for word in words if not _OTHER_NOISE.fullmatch(word))


def published_name(name: str) -> str | None:
    """The published model that a name means, by its name on the Hub; None for none."""
    if name in _models():
        return name
    whole = _by_own_name().get(name.strip().lower().rstrip("/").rpartition("/")[2])
    if whole is not None:
        return whole
    return _by_short_name().get(_short(name)) if len(name) <= 200 else None


def nearest_published(name: str) -> str | None:
    """A question that ends a message about an unknown name, or None."""
    planned = {
        short: long for short, long in _by_short_name().items() if "refused" not in _models()[long]
    }
    near = nearest(_short(name[:100]), planned)
    return f"did you mean {planned[near]}?" if near else None


def published_model(name: str) -> tuple[dict[str, Any], Notes]:
    """The keys of the model file of a published model, by its name on the Hub.

    Raises: InputError for a kind of model that cannot be planned for.
    """
    config = _models()[name]["config"]
    refused = refusal(config["model_type"], config) if "refused" in _models()[name] else None
    if refused is not None:
        raise InputError(f"{name}: {refused[0]}", hint=refused[1])
    file = JsonFile(name, json.dumps(config), config)
    model, notes = config_model(file, assume=None)
    notes.read.insert(0, f"the sizes of {name} as published")
    if config["model_type"].endswith(("_vl_text", "_vl_moe_text")):
        notes.left_out.append("the vision part: only the language model is planned for")
    return model, notes


def all_published() -> Mapping[str, Mapping[str, Any]]:
    """Every published model that can be planned for, with its config and, where the Hub states it,
    its number of parameters."""
    return {name: entry for name, entry in _models().items() if "refused" not in entry}


def published_vocabulary(tokenizer: str, hidden_size: int | None) -> tuple[int, str] | None:
    """Rows of the embedding of a model with this tokenizer, and the published model that they come
    from: the one the tokenizer is named after, or one of its family with this hidden size. Sizes of
    a family differ, such as 151,936 and 152,064 of Qwen2.5."""
    name = published_name(tokenizer) if tokenizer else None
    if name is None:
        family = _family(tokenizer)
        alike = (
            one
            for one, entry in all_published().items()
            if family and _family(one) == family and entry["config"]["hidden_size"] == hidden_size
        )
        name = next(alike, None)
    if name is None:
        return None
    return _models()[name]["config"]["vocab_size"], name


def is_named_after(text: str, name: str) -> bool:
    """Whether a text, such as the name of a script, holds the family and generation of a published
    model: `pretrain_llama2_13b.sh` that of `meta-llama/Llama-2-13b-hf`."""
    family = _family(name) or _SEPARATORS.split(name.lower().rpartition("/")[2])[0]
    written = _OF_VERSIONS.sub("", _SEPARATORS.sub("", text.lower()))
    return len(family) >= _SHORTEST_FAMILY and family.replace(".", "") in written


def _family(name: str) -> str:
    """The family and its generation, without the size: `/data/Qwen2.5-tokenizer` → "qwen2.5"."""
    match = _FAMILY.search(name.lower().rstrip("/").rpartition("/")[2])
    return "".join(part for part in match.groups() if part) if match else ""
