"""Keys of a DeepSpeed configuration that no estimate follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.importers.deepspeed.keys import (
    NOT_MODELLED,
    READ,
    WITHOUT_EFFECT,
    ZERO_NOT_MODELLED,
    ZERO_READ,
    ZERO_WITHOUT_EFFECT,
)
from planner.importers.notes import MOST_LISTED, listed
from planner.importers.values import AUTO
from planner.specs.files.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def left_out(tree: Mapping[str, Any], automatic: Sequence[str]) -> list[str]:
    """A note for every key that changes training and no estimate, for those that are not known,
    and for the `automatic` ones."""
    notes: list[str] = []
    zero = tree.get("zero_optimization")
    zero = zero if isinstance(zero, dict) else {}
    unknown = [key for key in tree if key not in READ | WITHOUT_EFFECT | set(NOT_MODELLED)]
    known_zero = ZERO_READ | ZERO_WITHOUT_EFFECT | set(ZERO_NOT_MODELLED)
    unknown += [f"zero_optimization.{key}" for key in zero if key not in known_zero]
    for key, instead in NOT_MODELLED.items():
        section, _, inner = key.rpartition(".")
        within = tree.get(section) if section else tree
        value = within.get(inner) if isinstance(within, dict) else None
        if value not in (None, False, {}, AUTO):
            notes.append(f"{key}: {instead}")
    for key, instead in ZERO_NOT_MODELLED.items():
        value = zero.get(key)
        device = value.get("device") if isinstance(value, dict) else value
        if device not in (None, False, "none", AUTO):
            notes.append(f"zero_optimization.{key}: {instead}")
    if unknown:
        shown: list[str] = []
        words = [*READ, *ZERO_READ, *WITHOUT_EFFECT]
        for key in unknown:
            hinted = len(shown) < MOST_LISTED
            near = did_you_mean(key.rpartition(".")[2], words) if hinted else None
            shown.append(f"{key[:60]}{f' ({near})' if near else ''}")
        notes.append(f"keys that are not known here: {listed(shown)}")
    if automatic:
        names = listed(list(dict.fromkeys(automatic)))
        notes.append(f'"auto", which the training program fills in: {names}')
    return notes
