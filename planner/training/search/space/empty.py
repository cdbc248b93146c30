"""The message when no combination passes the rules: which rule is in the way, and which values are
valid."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from planner.errors import RuleError
from planner.training.search.space.codes import code_of, value_of
from planner.training.search.space.enumeration import (
    AXES,
    VARIANT_AXES,
    Enumeration,
    dimensions,
    divisors,
)
from planner.training.search.space.facts import SpaceFacts
from planner.training.search.space.restrictions import Restrictions, option_name
from planner.training.search.space.rules import RULES

if TYPE_CHECKING:
    from planner.training.scenario import Scenario

MOST_NAMED = 6
"""Most values listed in a hint."""

FARTHEST_BATCH = 4
"""Global batch sizes up to this many times the wanted one are tried."""


def empty_space(
    enumeration: Enumeration, scenario: Scenario, restrictions: Restrictions
) -> RuleError:
    """The error for a space without combinations. It names the last rule in turn that removed any:
    without that rule something would be left, or only earlier rules are in the way."""
    excluded = enumeration.tally.excluded
    last = max(
        (rule for rule in reversed(RULES) if excluded[rule.name]),
        key=lambda rule: max(AXES.index(axis) for axis in rule.axes),
    )
    asked = " ".join(
        f"{option_name(axis)} {_listed(axis, enumeration.values[axis])}"
        for axis in AXES
        if getattr(restrictions, axis) is not None
    )
    sizes = f"{scenario.job.devices} devices and global batch {scenario.job.global_batch_size}"
    return RuleError(
        last.name,
        f"no combination{' with ' + asked if asked else ''} is valid on {sizes}: "
        f"{last.says(enumeration.facts)}",
        hint=last.repairs(enumeration.facts) or _advice(scenario, restrictions),
    )


def _advice(scenario: Scenario, restrictions: Restrictions) -> str | None:
    """The options that block every combination by themselves, with their valid values; otherwise
    nearby global batch sizes."""
    advice = []
    for field in fields(Restrictions):
        if getattr(restrictions, field.name) is None:
            continue
        values = _valid_values(scenario, replace(restrictions, **{field.name: None}), field.name)
        if values:
            advice.append(f"{option_name(field.name)} {_listed(field.name, values)}")
    if advice:
        return f"valid with {' or '.join(advice)}"
    batches = _valid_batches(scenario, restrictions)
    return f"valid global batch sizes nearby: {' or '.join(map(str, batches))}" if batches else None


def _valid_values(scenario: Scenario, restrictions: Restrictions, axis: str) -> tuple[int, ...]:
    """Values of an axis that occur in some valid combination."""
    found: set[int] = set()
    enumeration = Enumeration(
        facts=SpaceFacts.of(scenario, restrictions), values=dimensions(scenario, restrictions)
    )
    for grid in enumeration.grids():
        for group in enumeration.groups(grid):
            shared = {
                "pipeline": group.pipeline,
                "virtual_stages": group.virtual_stages,
                "schedule": code_of("schedule", group.schedule),
            }
            if axis in shared:
                found.add(shared[axis])
            elif axis in VARIANT_AXES:
                found |= set(group.variants[axis].tolist())
            else:
                found |= set(grid.columns[axis][group.grid_row].tolist())
    return tuple(sorted(found))


def _valid_batches(scenario: Scenario, restrictions: Restrictions) -> list[int]:
    """The next smaller and the next larger global batch with a valid combination; both are
    multiples of a number of replicas."""
    asked = scenario.job.global_batch_size
    replicas = [d for d in divisors(scenario.job.devices) if d <= FARTHEST_BATCH * asked]
    multiples = {d * k for d in replicas for k in (asked // d, asked // d + 1) if k}
    nearby = []
    for side in (
        sorted((b for b in multiples if b < asked), reverse=True),
        sorted(b for b in multiples if b > asked),
    ):
        for batch in side:
            job = replace(scenario.job, global_batch_size=batch)
            if _valid_values(replace(scenario, job=job), restrictions, "pipeline"):
                nearby.append(batch)
                break
    return nearby


def _listed(axis: str, codes: tuple[int, ...]) -> str:
    words = []
    for code in codes[:MOST_NAMED]:
        value = value_of(axis, code)
        words.append(("off", "on")[value] if isinstance(value, bool) else str(value))
    return ",".join(words) + (",…" if len(codes) > MOST_NAMED else "")
