"""Finds out which framework a YAML or JSON file belongs to, and reads the model in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner.errors import InputError
from planner.importers.automodel.model import KIND as AUTOMODEL
from planner.importers.automodel.model import is_recipe, recipe_model
from planner.importers.frameworks import nemo_rl, neox, primus
from planner.importers.notes import Notes
from planner.importers.published.names import published_name
from planner.importers.source import Source
from planner.specs.files.document import Document

NEITHER = (
    "is none of: a Hugging Face config.json, a Megatron-LM command or script, a list of "
    "Megatron-Bridge overrides, a recipe, a file of GPT-NeoX, Primus, "
    "NeMo 1, NeMo-RL or NeMo AutoModel"
)
Read = Callable[[Document, int | None], tuple[dict[str, Any], Notes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkFile:
    """A kind of file with a model in it: its name, how to recognise it, and how to read it."""

    kind: str
    is_one: Callable[[Mapping[str, Any]], bool]
    read: Read


FILES: tuple[FrameworkFile, ...] = (
    FrameworkFile(kind="a GPT-NeoX configuration", is_one=neox.is_one, read=neox.model),
    FrameworkFile(kind="a Primus experiment", is_one=primus.is_one, read=primus.model),
    FrameworkFile(kind="a NeMo-RL configuration", is_one=nemo_rl.is_one, read=nemo_rl.model),
    FrameworkFile(kind=AUTOMODEL, is_one=is_recipe, read=recipe_model),
)


def framework_file(tree: Any) -> FrameworkFile | None:
    """The kind of a file's content, or None."""
    if not isinstance(tree, dict):
        return None
    return next((one for one in FILES if one.is_one(tree)), None)


_OTHERS: tuple[tuple[str, tuple[str, ...], str | None], ...] = (
    ("a DeepSpeed configuration, which states no model", ("zero_optimization",), None),
    ("a DeepSpeed configuration, which states no model", ("train_micro_batch_size_per_gpu",), None),
    ("a DeepSpeed configuration, which states no model", ("train_batch_size", "fp16"), None),
    ("an index of weights", ("weight_map",), None),
    ("a generation configuration", ("transformers_version", "temperature"), None),
    ("an adapter's configuration", ("peft_type",), "base_model_name_or_path"),
    ("a pipeline of diffusers", ("_class_name", "_diffusers_version"), None),
    ("a tokenizer's configuration", ("tokenizer_class",), None),
    ("Meta's params.json", ("dim", "n_layers"), None),
    (
        "a LLaMA-Factory configuration",
        ("model_name_or_path", "finetuning_type"),
        "model_name_or_path",
    ),
    ("a configuration of trl", ("model_name_or_path",), "model_name_or_path"),
    ("an Axolotl configuration", ("base_model",), "base_model"),
    ("a verl configuration", ("actor_rollout_ref",), None),
    ("a NeMo 1 configuration", ("trainer", "exp_manager"), None),
    ("a MaxText configuration", ("base_emb_dim",), None),
    ("a MaxText configuration", ("per_device_batch_size", "max_target_length"), "model_name"),
    ("a recipe of SageMaker HyperPod", ("run", "training_config"), None),
    ("a LitGPT configuration", ("out_dir", "train", "precision"), "model_name"),
    ("an OLMo configuration", ("run_name", "device_train_microbatch_size", "fsdp"), None),
    ("an LLM Foundry configuration", ("max_seq_len", "train_loader"), None),
    ("an Accelerate configuration", ("distributed_type", "compute_environment"), None),
    ("a plan document", ("plans", "schema"), None),
    ("a cluster file of planner", ("node_groups",), None),
)
"""Files that hold no model: what each is, the keys that identify it, and the key that names its
model."""


def is_yaml(source: Source) -> bool:
    return Path(source.path).suffix.lower() in (".yaml", ".yml")


def framework_model(source: Source, vocabulary: int | None) -> tuple[dict[str, Any], Notes, str]:
    """The model of another framework's YAML, and what the file is. Raises: InputError, which says
    what a file without a model is, and what to do."""
    document = source.yaml()
    found = framework_file(document.tree)
    if found is None:
        raise without_model(source, document.tree) or source.error(NEITHER)
    model, notes = found.read(document, vocabulary)
    return model, notes, found.kind


def foreign_file(source: Source) -> InputError | None:
    """An error that says which framework a file belongs to, where it cannot be planned as it is;
    None for a file of no known framework."""
    if not is_yaml(source):
        return None
    try:
        tree = source.yaml().tree
    except InputError:
        return None
    known = next((one for one in FILES if isinstance(tree, dict) and one.is_one(tree)), None)
    if known is not None:
        return source.error(
            f"is {known.kind}, which states no launch command",
            hint=f"`planner import model {source.name}` imports its model",
        )
    return without_model(source, tree)


def without_model(source: Source, tree: Any) -> InputError | None:
    """An error that says what a file without a model is, and what to do; None for any other."""
    other = other_file(tree)
    return None if other is None else source.error(f"is {other[0]}", hint=other[1])


def other_file(tree: Any) -> tuple[str, str] | None:
    """What a file without a model is, and what to import instead."""
    if not isinstance(tree, dict):
        return None
    for what, keys, named in _OTHERS:
        if all(key in tree for key in keys):
            return what, _instead(tree.get(named) if named else None)
    if isinstance(tree.get("model"), dict) and "_component_" in tree["model"]:
        return "a torchtune configuration", _instead(None)
    return None


def _instead(name: object) -> str:
    if isinstance(name, str) and published_name(name):
        return f"`planner import model {name[:100]}` imports the model it names"
    return "import the config.json of the model it trains"
