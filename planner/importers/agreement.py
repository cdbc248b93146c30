"""What a launch file states and what a user asks for beside it: together, or a contradiction."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from planner.errors import InputError
from planner.specs.settings import Settings
from planner.training.search.space.restrictions import Restrictions, option_name

if TYPE_CHECKING:
    from planner.importers.launch_options import LaunchOptions
    from planner.importers.statement import Statement
    from planner.specs.software import SoftwareProfile


def decisions_of(statement: Statement, asked: LaunchOptions) -> dict[str, Any]:
    """What the file and the user decide together. Raises: InputError where they contradict each
    other."""
    decisions: dict[str, Any] = dict(statement.decisions)
    for one in fields(Restrictions):
        values = getattr(asked.decisions, one.name)
        if values is None:
            continue
        if len(values) != 1:
            raise InputError(f"{option_name(one.name)} takes one value here, found {len(values)}")
        if one.name in decisions and decisions[one.name] != values[0]:
            raise _disagrees(statement, one.name, decisions[one.name], values[0])
        decisions[one.name] = values[0]
    for name in ("stage_layers", "recompute_layers"):
        wanted, stated = getattr(asked, name), getattr(statement, name)
        if wanted is not None and stated not in (None, wanted):
            raise _disagrees(statement, name, stated, wanted)
    return decisions


def workload_of(statement: Statement, asked: LaunchOptions) -> dict[str, Any]:
    """Fields of the job that the file states or the user asks for. Raises: InputError where they
    contradict each other."""
    workload: dict[str, Any] = dict(statement.workload)
    for name in ("global_batch_size", "seq_length", "precision", "optimizer"):
        value = getattr(asked, name)
        if value is None:
            continue
        if workload.get(name, value) != value:
            raise _disagrees(statement, name, workload[name], value)
        workload[name] = value
    return workload


def settings_of(
    statement: Statement, asked: LaunchOptions, before: SoftwareProfile, after: SoftwareProfile
) -> Settings:
    """What the user sets, unless the file has already set it to something else. Raises: InputError
    where it has."""
    for name, value in asked.settings.stated.items():
        stated, usual = (Settings.in_profile(profile, name) for profile in (after, before))
        if stated not in (usual, value):
            raise _disagrees(statement, name, stated, value)
    return asked.settings


def _disagrees(statement: Statement, name: str, ours: object, asked: object) -> InputError:
    place = statement.place(name)
    return InputError(
        f"{name.replace('_', '-')} {_shown(ours)} is stated here, {option_name(name)} "
        f"{_shown(asked)} is asked for",
        path=place.path,
        line=place.line,
        column=place.column,
        hint="options fill in what the file leaves open; change the file, or leave out the option",
    )


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
