"""Which layers of a config are special (windows, experts), in the form of a model file."""

from __future__ import annotations

from typing import Any

from planner.errors import InputError
from planner.importers.huggingface.keys import Keys
from planner.importers.patterns import every_nth, first_and_frequency

Model = dict[str, Any]

_FULL = "full_attention"


def full_layers(keys: Keys, layers: int, *, local: str = "sliding_attention") -> list[bool] | None:
    """Which layers have full attention, where the file lists them; the others are of kind `local`.

    Raises: InputError for any other kind, and for a list of another length.
    """
    listed = _listed(keys, "layer_types", layers)
    if listed is None:
        return None
    for entry in listed:
        if entry not in (_FULL, local):
            raise _unknown_layer(keys, "layer_types", entry)
    return [entry == _FULL for entry in listed]


def all_layers_are(keys: Keys, key: str, kind: str, layers: int) -> None:
    """Raises: InputError where the file lists layers, and one of them is of another kind."""
    for entry in _listed(keys, key, layers) or ():
        if entry != kind:
            raise _unknown_layer(keys, key, entry)


def listed_sparse(keys: Keys, layers: int) -> list[bool] | None:
    """Which layers have experts, where the file lists their MLPs."""
    listed = _listed(keys, "mlp_layer_types", layers)
    if listed is None:
        return None
    for entry in listed:
        if entry not in ("dense", "sparse"):
            raise _unknown_layer(keys, "mlp_layer_types", entry)
    return [entry == "sparse" for entry in listed]


def _listed(keys: Keys, key: str, layers: int) -> list[Any] | None:
    listed = keys.sequence(key)
    if listed is not None and len(listed) != layers:
        raise keys.error(f"{len(listed)} entries for {layers} layers", key)
    return listed


def _unknown_layer(keys: Keys, key: str, entry: object) -> InputError:
    return keys.error(
        f"layers of type {str(entry)[:40]!r} cannot be described in a model file", key
    )


def every_nth_full(layers: int, every: int) -> list[bool]:
    """Full attention in layers n, 2n …, counted from 1; 0: in none."""
    return [bool(every) and (index + 1) % every == 0 for index in range(layers)]


def window(
    keys: Keys,
    model: Model,
    full: list[bool],
    *,
    key: str = "sliding_window",
    into: str = "attention_window",
) -> None:
    """Keys a query sees in the layers whose entry in `full` is false: `key` of the config, `into`
    of the model file."""
    width = keys.optional(key, least=0)
    if not width or all(full):
        return
    every = every_nth(full)
    if every is None:
        keys.notes.left_out.append(
            f"{key} {width} in {full.count(False)} of {len(full)} layers: not in a regular "
            "pattern, so all layers are planned with full attention"
        )
        return
    model[into] = width
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
