"""NeMo-RL: the policy's model by its name on the Hub, and the batch of its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planner.importers.notes import Notes
from planner.importers.published.names import (
    nearest_published,
    published_model,
    published_name,
)
from planner.specs.files.document import Document

_PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
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
    training = {
        "global_batch_size": policy.get("train_global_batch_size"),
        "seq_length": policy.get("max_total_sequence_length"),
        "precision": _PRECISIONS.get(str(policy.get("precision"))),
    }
    for key in ("global_batch_size", "seq_length"):
        if type(training[key]) is not int:
            training[key] = None
    found["training"] = {key: value for key, value in training.items() if value is not None}
    notes.left_out.append("generation and rewards: only the training of the policy is planned for")
    if "defaults" in document.tree:
        notes.left_out.append("defaults: the file it extends is not read")
    return found, notes
