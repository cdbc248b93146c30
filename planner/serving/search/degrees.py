"""Degrees of replicas, and why none has those that somebody asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from planner.errors import RuleError
from planner.serving.heads import divides_heads
from planner.serving.scenario import ServingDegrees

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.solver.pools import Room
    from planner.specs.model.spec import ModelSpec

_STAGES = (1, 2, 4, 8)
"""Pipeline degrees of replicas where nothing is said: more stages answer no request sooner."""
_MOST_NAMED = 8
"""Valid values of a degree that a message lists."""
_MOST_STAGES = 64
"""Pipeline degrees up to this one are looked at for such a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedDegrees:
    """What the user narrows degrees to; None: whatever the engine runs."""

    tensor: tuple[int, ...] | None = None
    pipeline: tuple[int, ...] | None = None
    attention_data: tuple[int, ...] | None = None
    expert: tuple[int, ...] | None = None


AXES = ("tensor", "attention_data", "expert", "pipeline")


def degrees_of(model: ModelSpec, room: Room, allowed: AllowedDegrees) -> Iterator[ServingDegrees]:
    """Attention ranks only share something in mixtures; elsewhere they are replicas. Engines hold
    whole experts on all devices of a stage, or a part of each on every device."""
    experts = 0 if model.moe is None else model.moe.num_experts
    for stage in _divisors(room.block):
        for tensor in _divisors(stage):
            ranks = stage // tensor
            if ranks > 1 and not experts:
                continue
            whole = (1, stage) if stage > 1 and experts and experts % stage == 0 else (1,)
            stages = allowed.pipeline or _STAGES
            for expert, pipeline in product(whole, stages):
                degrees = ServingDegrees(
                    tensor=tensor, pipeline=pipeline, attention_data=ranks, expert=expert
                )
                if (
                    degrees.devices <= room.devices
                    and pipeline <= model.num_layers
                    and _among(tensor, allowed.tensor)
                    and _among(ranks, allowed.attention_data)
                    and _among(expert, allowed.expert)
                ):
                    yield degrees


def check_degrees(model: ModelSpec, rooms: Sequence[Room], allowed: AllowedDegrees) -> None:
    """Raises: RuleError where no replica on any devices has such degrees: which rule is in the way,
    and the values that are valid."""
    if _values(model, rooms, allowed, "tensor"):
        return
    stated = [axis for axis in AXES if getattr(allowed, axis) is not None]
    free = AllowedDegrees()
    blocked = [
        axis
        for axis in stated
        if not _values(model, rooms, replace(free, **{axis: getattr(allowed, axis)}), axis)
    ]
    named = blocked[:1] or stated
    asked = " ".join(_option(axis, getattr(allowed, axis)) for axis in named)
    if blocked:
        rule, reason = _rule(model, rooms, allowed, blocked[0])
    else:
        rule, reason = "replica", "these degrees do not go together"
    devices = max(room.devices for room in rooms)
    hints = []
    for axis in named:
        others = replace(allowed, **{axis: None})
        values = _values(model, rooms, others, axis) or _values(model, rooms, free, axis)
        hints.append(_option(axis, values))
    raise RuleError(
        rule,
        f"no replica with {asked} is valid on {devices:,} devices: {reason}",
        hint=f"valid with {' or '.join(hints)}",
        axes=tuple(named),
    )


def _rule(
    model: ModelSpec, rooms: Sequence[Room], allowed: AllowedDegrees, axis: str
) -> tuple[str, str]:
    """The rule that a degree breaks whatever the others are, and what it says."""
    fabric = " or ".join(f"{block:,}" for block in sorted({room.block for room in rooms}))
    fabric += " devices that share a fast fabric"
    moe, heads, groups = model.moe, model.num_attention_heads, model.num_query_groups
    if axis == "tensor":
        shared = (
            "" if model.mla is not None else f", divide or be a multiple of the {groups} KV heads"
        )
        whole = [one for one in allowed.tensor or () if divides_heads(model, one)]
        if any(room.block % one == 0 for room in rooms for one in whole):
            return "replica", f"a replica with it takes {min(whole):,} devices at least"
        return (
            "fabric" if whole else "heads",
            f"the tensor degree must divide the {heads} attention heads{shared} and divide the "
            f"{fabric}",
        )
    if axis == "pipeline":
        return (
            "pipeline",
            f"there are at most as many stages as the {model.num_layers} layers, and as devices",
        )
    if moe is None:
        return (
            "experts",
            f"{model.name} has no experts, which attention data and expert degrees are for; "
            "replicas do the same elsewhere",
        )
    if axis == "expert":
        return (
            "experts",
            f"engines divide experts over all devices of a stage, which must divide the "
            f"{moe.num_experts} experts and the {fabric}, or hold a part of each on every one",
        )
    return "fabric", f"tensor · attention data must divide the {fabric}"


def _values(
    model: ModelSpec, rooms: Sequence[Room], allowed: AllowedDegrees, axis: str
) -> tuple[int, ...]:
    """Values of an axis that occur in some replica."""
    if axis == "pipeline" and allowed.pipeline is None:
        allowed = replace(allowed, pipeline=tuple(range(1, _MOST_STAGES + 1)))
    found = {
        getattr(one, axis)
        for room in rooms
        for one in degrees_of(model, room, allowed)
        if divides_heads(model, one.tensor)
    }
    return tuple(sorted(found))


def _option(axis: str, values: Sequence[int]) -> str:
    more = ",…" if len(values) > _MOST_NAMED else ""
    return f"--{axis.replace('_', '-')} {','.join(map(str, values[:_MOST_NAMED]))}{more}"


def _among(value: int, values: tuple[int, ...] | None) -> bool:
    return values is None or value in values


def _divisors(number: int) -> list[int]:
    return [one for one in range(1, number + 1) if number % one == 0]
