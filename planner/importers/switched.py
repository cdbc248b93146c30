"""Software profiles changed by a launch file: what differs, and a profile's record of it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

from planner.specs.files.fields import Input
from planner.specs.files.source import SourceFile
from planner.specs.software_parts import DataShardingSwitch, RecomputeSwitch

if TYPE_CHECKING:
    from planner.specs.software import SoftwareProfile

S = TypeVar("S", DataShardingSwitch, RecomputeSwitch)


def with_choice(switch: S, chosen: str) -> S:
    """The switch with one more choice, where it lacks it."""
    if chosen in switch.choices:
        return switch
    return switch.model_copy(update={"choices": (*switch.choices, chosen)})


def with_groups(switch: DataShardingSwitch, chosen: str) -> DataShardingSwitch:
    """The switch with sharding groups for the chosen sharding, where it lacks them."""
    if chosen in switch.in_groups:
        return switch
    return switch.model_copy(update={"in_groups": (*switch.in_groups, chosen)})


def recorded(before: SoftwareProfile, after: SoftwareProfile) -> SoftwareProfile:
    """Marks a switched profile, which is no shipped file, by the hash of its source."""
    changed = after.model_copy()
    changed._file = before.source_file
    if before != changed:
        digest = hashlib.sha256(after.model_dump_json().encode()).hexdigest()
        path = before.source_file.path if before.source_file else before.name
        changed._file = SourceFile(path=path, sha256=digest)
    return changed


def differences(before: SoftwareProfile, after: SoftwareProfile) -> tuple[str, ...]:
    """The switched fields, as `field value`, for people."""
    found = []
    for name in type(before).model_fields:
        one, other = getattr(before, name), getattr(after, name)
        if one == other:
            continue
        if isinstance(other, Input):
            found += [
                f"{name}.{part} {_shown(getattr(other, part))}"
                for part in type(other).model_fields
                if getattr(one, part) != getattr(other, part)
            ]
        else:
            found.append(f"{name} {_shown(other)}")
    return tuple(found)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return "+".join(map(str, value)) or "none"
    return str(value)
