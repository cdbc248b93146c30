"""Checks one combination against the rules: what it breaks, and the nearest values that are
valid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.errors import RuleError
from planner.plan import DATA_SHARDINGS, DISPATCHERS, GRANULARITIES
from planner.specs.model.spec import MOST_LAYERS
from planner.training.search.space.codes import PARTS, SCHEDULE_NAMES, value_of
from planner.training.search.space.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from planner.training.search.space.facts import SpaceFacts
    from planner.training.search.space.rules.rule import SpaceRule

SWITCHES = {
    "dispatcher": len(DISPATCHERS),
    "expert_overlap": 2,
    "schedule": len(SCHEDULE_NAMES),
    "sequence_parallel": 2,
    "recompute": len(GRANULARITIES),
    "data_sharding": len(DATA_SHARDINGS),
    "optimizer_offload": PARTS + 1,
    "weight_offload": 2,
    "activation_offload": PARTS + 1,
}
"""Axes that hold codes, and how many codes each has."""

ONE_VALUE = ("pipeline", "virtual_stages", "schedule")
"""Axes of which conditions take one value at a time; the numbers among them count layers."""

MOST = 100_000
"""Largest value that is tried as a correction."""


def check_values(facts: SpaceFacts, values: Mapping[str, int]) -> None:
    """Raises RuleError for the first rule that one combination breaks. `values` holds codes; see
    `facts.code_of`."""
    for _, error in broken_rules(facts, values):
        raise error


def broken_rules(
    facts: SpaceFacts, values: Mapping[str, int]
) -> Iterator[tuple[SpaceRule, RuleError]]:
    """Every rule that one combination breaks, with what was found and the nearest valid values.
    Rules that only keep a search short are left out."""
    row = {axis: np.array([value], dtype=np.int64) for axis, value in values.items()}
    for rule in RULES:
        if not rule.search_only and not rule.holds(facts, row).all():
            yield (
                rule,
                RuleError(
                    rule.name,
                    f"{rule.says_of(facts, row)}; found {_found(rule, values)}",
                    hint=rule.repairs(facts) or _nearest(rule, facts, values),
                    axes=(rule.adjusts, *(axis for axis in rule.axes if axis != rule.adjusts)),
                ),
            )


def _found(rule: SpaceRule, values: Mapping[str, int]) -> str:
    return ", ".join(f"{axis.replace('_', '-')} {_word(axis, values[axis])}" for axis in rule.axes)


def _word(axis: str, code: int) -> str:
    value = value_of(axis, code)
    return ("off", "on")[value] if isinstance(value, bool) else str(value)


def _nearest(rule: SpaceRule, facts: SpaceFacts, values: Mapping[str, int]) -> str | None:
    """The next smaller and the next larger value of the rule's axis that satisfy it."""
    axis, found = rule.adjusts, values[rule.adjusts]
    if axis in SWITCHES:
        choices = np.arange(SWITCHES[axis])
    elif axis in ONE_VALUE:
        choices = np.arange(1, min(facts.layers, MOST_LAYERS) + 1)
    else:
        choices = np.arange(
            1, min(max(2 * found, facts.devices, facts.global_batch_size), MOST) + 1
        )
    good = choices[_holding(rule, facts, values, choices)]
    near = [*good[good < found][-1:].tolist(), *good[good > found][:1].tolist()]
    if not near:
        return None
    words = " or ".join(_word(axis, value) for value in near)
    return f"nearest {axis.replace('_', '-')} that would do: {words}"


def _holding(
    rule: SpaceRule, facts: SpaceFacts, values: Mapping[str, int], choices: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which values of the axis that the rule adjusts satisfy it, the others as they are."""
    row = {name: np.array([value], dtype=np.int64) for name, value in values.items()}
    parts = choices[:, None] if rule.adjusts in ONE_VALUE else [choices]
    held = [
        np.broadcast_to(rule.holds(facts, {**row, rule.adjusts: part}), part.shape)
        for part in parts
    ]
    return np.concatenate(held) if held else np.zeros(0, dtype=np.bool_)
