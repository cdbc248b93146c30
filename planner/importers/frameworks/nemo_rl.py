"""NeMo-RL: the policy's model by its name on the Hub, and the batch of its training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planner.errors import InputError
from planner.importers.notes import Notes
from planner.importers.published.named import model_named
from planner.importers.published.settings import batch_settings
from planner.specs.files.document import Document
from planner.specs.files.yaml_file import load_document

_PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_TRAINING = {
    "train_global_batch_size": "global_batch_size",
    "max_total_sequence_length": "seq_length",
}
_AT = ("policy", "model_name")


_ALGORITHMS = frozenset(("grpo", "sft", "dpo", "rm", "distillation", "checkpointing", "policy"))
_DEEPEST = 5


def is_one(tree: Mapping[str, Any]) -> bool:
    """Whether a file names its policy's model, or extends one that does."""
    policy = tree.get("policy")
    if isinstance(policy, dict) and "model_name" in policy:
        return True
    return "defaults" in tree and not _ALGORITHMS.isdisjoint(tree)


def _extended(document: Document, depth: int = 0) -> Document:
    """The file merged over the files that it extends, which are in the same folder. Raises:
    InputError where one is missing."""
    stated = document.tree.get("defaults")
    names = (stated,) if isinstance(stated, str) else stated
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        return document
    whole = document
    for name in reversed(names):
        path = Path(document.path).parent / name
        if depth == _DEEPEST or not path.is_file():
            raise document.error(
                f"the file it extends, {name[:80]!r}, is not in its folder", ("defaults",)
            )
        base = load_document(path, aliases=True)
        if isinstance(base.tree, dict):
            whole = _extended(base, depth + 1).merged(whole)
    return whole


def model(document: Document, vocabulary: int | None) -> tuple[dict[str, Any], Notes]:
    """The policy's model. Raises: InputError where the file names none, or one that is unknown."""
    own, absent = document, ""
    try:
        document = _extended(document)
    except InputError:
        if "model_name" not in own.tree.get("policy", ()):
            raise
        absent = (
            f"defaults: {str(own.tree['defaults'])[:80]}, which is not in the folder of the file"
        )
    policy = document.tree.get("policy")
    stated = policy.get("model_name") if isinstance(policy, dict) else None
    found, notes = model_named(document, str(stated), _AT)

    def error(message: str, key: str) -> InputError:
        return document.error(message, ("policy", key))

    training: dict[str, Any] = dict(batch_settings(policy, _TRAINING, notes, error=error))
    precision = _PRECISIONS.get(str(policy.get("precision")))
    if precision is not None:
        training["precision"] = precision
    found["training"] = training
    if absent:
        notes.left_out.append(absent)
    notes.left_out.append("generation and rewards: only the training of the policy is planned for")
    return found, notes
