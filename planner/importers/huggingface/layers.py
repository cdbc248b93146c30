"""Which layers of a config are special: windows and experts, as a model file can say it."""

from __future__ import annotations

from typing import Any

from planner.importers.huggingface.keys import Keys
from planner.importers.patterns import every_nth, first_and_frequency

Model = dict[str, Any]


def layer_types(keys: Keys, layers: int) -> list[bool] | None:
    """Which layers have full attention, where the file lists them."""
    listed = keys.sequence("layer_types")
    if listed is None:
        return None
    if len(listed) != layers:
        raise keys.error(f"{len(listed)} entries for {layers} layers", "layer_types")
    for entry in listed:
        if entry not in ("full_attention", "sliding_attention"):
            raise keys.error(
                f"layers of type {str(entry)[:40]!r} cannot be described in a model file",
                "layer_types",
            )
    return [entry == "full_attention" for entry in listed]


def window(keys: Keys, model: Model, full: list[bool]) -> None:
    """Keys a query sees in the layers whose entry in `full` is false."""
    window = keys.optional("sliding_window")
    if window is None or all(full):
        return
    every = every_nth(full)
    if every is None:
        keys.notes.left_out.append(
            f"a window of {window} keys in {full.count(False)} of {len(full)} layers: not in a "
            "regular pattern, so all layers are planned with full attention"
        )
        return
    model["attention_window"] = window
    model["full_attention_frequency"] = every


def experts(keys: Keys) -> Model:
    experts = keys.integer("num_local_experts", most=1_000_000)
    chosen = keys.integer("num_experts_per_tok", most=1_000_000)
    if chosen > experts:
        raise keys.error(f"{chosen} of {experts} experts", "num_experts_per_tok")
    return {"num_experts": experts, "top_k": chosen}


def expert_layers(keys: Keys, chosen: list[bool], key: str) -> Model:
    described = first_and_frequency(chosen)
    if described is None:
        raise keys.error(
            f"experts in {sum(chosen)} of {len(chosen)} layers; a model file describes dense "
            "layers at the start and then experts in every n-th layer",
            key,
        )
    first, frequency = described
    found: Model = {"first_dense_layers": first} if first else {}
    return found | ({"layer_frequency": frequency} if frequency > 1 else {})
