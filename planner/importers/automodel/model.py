"""Which recipes are NeMo AutoModel's, and the published model that one names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.importers.published.named import model_named
from planner.importers.values import Values

if TYPE_CHECKING:
    from planner.importers.notes import Notes
    from planner.importers.source import Source
    from planner.specs.files.document import Document

KIND = "a NeMo AutoModel recipe"
SOFTWARE = "automodel"
AT, STEP = "distributed", "step_scheduler"
"""Keys of how a recipe is distributed, and of its batch."""

_LENGTHS = (
    ("packed_sequence", "packed_sequence_size"),
    ("dataset", "seq_len"),
    ("dataset", "seq_length"),
)


def is_recipe(tree: Any) -> bool:
    """Whether the content of a file is a recipe: its batch, how it is distributed, and a model."""
    return isinstance(tree, dict) and {STEP, AT, "model"} <= tree.keys()


def looks_like_recipe(source: Source) -> bool:
    lines = {line.partition(":")[0] for line in source.text.splitlines() if ":" in line}
    return {STEP, AT, "model"} <= lines


def recipe_model(document: Document, vocabulary: int | None) -> tuple[dict[str, Any], Notes]:
    """The published model that a recipe names. Its further predictions are left out: AutoModel's
    classes build none. Raises: InputError for a model that is unknown."""
    for at in (
        ("model", "pretrained_model_name_or_path"),
        ("model", "config", "pretrained_model_name_or_path"),
    ):
        name = Values(document).at(*at)
        if isinstance(name, str):
            break
    else:
        raise document.error("the recipe names no published model", ("model",), hint="give --model")
    model, notes = model_named(document, name, at)
    if model.pop("mtp_num_layers", 0):
        notes.left_out.append("layers that predict further tokens, which AutoModel does not build")
    model["training"] = {
        **model.get("training", {}),
        **stated_workload(Values(document)),
        "software": SOFTWARE,
    }
    return model, notes


def stated_workload(read: Values) -> dict[str, int | str]:
    """Batch, length of sequences and number format, as far as a recipe states them."""
    found: dict[str, int | str] = {}
    batch = read.whole(STEP, "global_batch_size")
    if batch is not None:
        found["global_batch_size"] = batch
    lengths = (read.whole(*at, least=0) for at in _LENGTHS)
    length = next((one for one in lengths if one), None)
    if length is not None:
        found["seq_length"] = length
    found["precision"] = "bf16"
    return found
