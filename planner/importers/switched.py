"""Software profiles changed by a launch file: what differs, and a profile's record of it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from planner.specs.files.fields import Input
from planner.specs.files.source import SourceFile
from planner.specs.software_offload import Offload, offloaded_alone
from planner.specs.software_parts import DataShardingSwitch, RecomputeSwitch
from planner.workload.recompute import modules_of_model

if TYPE_CHECKING:
    from planner.plan import Plan
    from planner.specs.model.spec import ModelSpec
    from planner.specs.software import SoftwareProfile
    from planner.training.scenario import Scenario

S = TypeVar("S", DataShardingSwitch, RecomputeSwitch)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenModules:
    """What a launch file computes again and offloads; None: as the profile."""

    recompute: tuple[str, ...] | None
    offload: tuple[str, ...] | None

    def scenario(self, scenario: Scenario) -> Scenario:
        """The job with them. Raises: InputError for what the framework cannot treat so."""
        return scenario.treating(self.recompute, self.offload)

    def of(self, plan: Plan) -> Plan:
        return replace(plan, recompute_modules=self.recompute, offload_modules=self.offload)


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


def modules_apart(
    before: SoftwareProfile, after: SoftwareProfile, model: ModelSpec
) -> tuple[SoftwareProfile, ChosenModules]:
    """The modules that a switched profile recomputes and offloads otherwise than before, which are
    decisions of a plan, and the profile without them. Modules that the framework of the profile
    cannot name stay in it, and so do those it offloads only with others, for a rule of its flags to
    say; those that the model lacks do not count."""
    changes: dict[str, Any] = {}
    chosen = moved = None
    again, usual = after.recompute.selective_modules, before.recompute.selective_modules
    of_model = [modules_of_model(one, model, after) for one in (again, usual)]
    if of_model[0] != of_model[1] and _can_name(again, usual, before.recompute):
        chosen = again
        changes["recompute"] = after.recompute.model_copy(update={"selective_modules": usual})
    there, offload = after.offload.modules, before.offload
    apart = there != offload.modules and offloaded_alone(there) is None
    if apart and _can_name(there, offload.modules, offload):
        moved = there
        fields = ("modules", "activations", "activations_in_pipelines")
        changes["offload"] = after.offload.model_copy(
            update={name: getattr(offload, name) for name in fields}
        )
    profile = after.model_copy(update=changes) if changes else after
    return profile, ChosenModules(recompute=chosen, offload=moved)


def _can_name(
    modules: Collection[str], usual: Collection[str], switch: RecomputeSwitch | Offload
) -> bool:
    return set(modules) <= {*usual, *switch.module_choices}


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
