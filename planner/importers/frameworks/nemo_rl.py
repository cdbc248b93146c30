"""NeMo-RL: the policy's model by its name on the Hub, and the batch of its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planner.errors import InputError
from planner.importers.notes import Notes
from planner.importers.published.names import (
    nearest_published,
    published_model,
    published_name,
)
from planner.importers.published.settings import batch_settings
from planner.specs.files.document import Document

_PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_TRAINING = {
    "train_global_batch_size": "global_batch_size",
    "max_total_sequence_length": "seq_length",
}
_AT = ("policy", "model_name")


def is_one(tree: Mapping[str, Any]) -> bool:
    policy = tree.get("policy")
    return isinstance(policy, dict) and "model_name" in policy


def model(document: Document, vocabulary: int | None) -> tuple[dict[str, Any], Notes]:
    """The policy's model. Raises: InputError where the file names none, or one that is unknown."""
    policy = document.tree["policy"]
    stated = policy["model_name"]
    name = published_name(stated) if isinstance(stated, str) else None
    if name is None:
        raise document.error(
            f"{str(stated)[:80]!r} is no model whose sizes are known here",
            _AT,
            hint=(nearest_published(stated) if isinstance(stated, str) else None)
            or "import its config.json",
        )
    found, notes = published_model(name)

    def error(message: str, key: str) -> InputError:
        return document.error(message, ("policy", key))

    training: dict[str, Any] = dict(batch_settings(policy, _TRAINING, notes, error=error))
    precision = _PRECISIONS.get(str(policy.get("precision")))
    if precision is not None:
        training["precision"] = precision
    found["training"] = training
    notes.left_out.append("generation and rewards: only the training of the policy is planned for")
    if "defaults" in document.tree:
        notes.left_out.append("defaults: the file it extends is not read")
    return found, notes
