"""What somebody has written to launch, in place of a plan: cluster, model, job and plan of it.

A Megatron-LM launch script or command line states its model and every decision. A DeepSpeed
configuration states neither the model nor most degrees; the caller gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.errors import InputError, RuleError
from planner.importers.deepspeed import deepspeed_statement
from planner.importers.json_file import parse_json
from planner.importers.megatron.command import mentions_training
from planner.importers.megatron.statement import script_statement
from planner.importers.source import load_source
from planner.importers.switched import differences, recorded
from planner.scenario import build_scenario
from planner.search.build import plan_from_flags
from planner.search.restrictions import Restrictions, option_name
from planner.specs.job import DEFAULT_HEADROOM, build_job
from planner.specs.load import load_software

if TYPE_CHECKING:
    from planner.importers.notes import Notes
    from planner.importers.shell.text import Origin
    from planner.importers.source import Source
    from planner.importers.statement import Statement
    from planner.plan import Plan
    from planner.scenario import Scenario
    from planner.specs.cluster import ClusterSpec
    from planner.specs.model import ModelSpec

LARGEST_BYTES = 2 * 2**20
_NAMES = {
    "recompute.granularity": "recompute",
    "recompute.layers_per_stage": "recompute_layers",
    "num_microbatches": "global_batch_size",
    "stages": "stage_layers",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the user adds to a launch file. Where the file says something else, that is an error;
    the number of devices is the exception, because schedulers take it on their command line.

    `variables`, `command` and `vocabulary` are those of `megatron.script.read_launch`.
    """

    decisions: Restrictions = field(default_factory=Restrictions)
    devices: int | None = None
    nodes: int | None = None
    global_batch_size: int | None = None
    seq_length: int | None = None
    precision: str | None = None
    software: str | None = None
    headroom: float | None = None
    stage_layers: tuple[int, ...] | None = None
    hosts: tuple[str, ...] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    command: int | None = None
    vocabulary: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchedPlan:
    """`scenario` and `plan` are what the file launches; `notes` what was read, assumed and left
    out. What was assumed is among the job's assumptions too."""

    kind: str
    path: str
    scenario: Scenario
    plan: Plan
    notes: Notes
    statement: Statement

    def place(self, field: str) -> Origin:
        """Where a field was decided: one of the job, or of the plan by its path in the plan
        document, such as degrees.tensor."""
        return self.statement.place(_NAMES.get(field, field.removeprefix("degrees.")))


def read_launch(
    path: str, cluster: ClusterSpec, model: ModelSpec | None = None, asked: Asked | None = None
) -> LaunchedPlan:
    """The plan that a launch script or DeepSpeed configuration describes, on the first nodes of a
    cluster. `model` may be left out where the file states one.

    Raises: InputError and RuleError, with file, line and column where the file is at fault.
    """
    asked = Asked() if asked is None else asked
    source = load_source(path, largest=LARGEST_BYTES)
    statement = _statement(source, model, asked)
    try:
        return _launched(statement, cluster, asked)
    except RuleError as error:
        if error.path is not None:
            raise
        place = _place_of(statement, error.axes)
        raise error.placed(place.path, place.line, place.column) from error


def _statement(source: Source, given: ModelSpec | None, asked: Asked) -> Statement:
    if source.text.lstrip()[:1] == "{":
        return deepspeed_statement(parse_json(source), given)
    if not mentions_training(source.text):
        raise source.error(
            "is none of: a plan document, a Megatron-LM command or script, a DeepSpeed "
            "configuration"
        )
    return script_statement(
        source,
        given,
        variables=asked.variables,
        command=asked.command,
        vocabulary=asked.vocabulary,
    )


def _place_of(statement: Statement, axes: tuple[str, ...]) -> Origin:
    """The first of the axes that the file decides, or the file's own place."""
    stated = [axis for axis in axes if axis in statement.decisions or axis == "stage_layers"]
    return statement.place(stated[0] if stated else "")


def _launched(statement: Statement, cluster: ClusterSpec, asked: Asked) -> LaunchedPlan:
    sized = _sized(statement, cluster, asked)
    devices = _devices(statement, sized, asked)
    settled = statement.settle(_decisions(statement, asked), _workload(statement, asked), devices)
    decisions: dict[str, Any] = dict(settled.decisions)
    workload: dict[str, Any] = dict(settled.workload)
    profile = load_software(asked.software or statement.software)
    used = decisions.get("tensor", 1) * decisions.get("pipeline", 1)
    software = recorded(profile, statement.switch(profile, max(1, devices // used)))
    job = build_job(
        statement.model,
        software,
        devices=devices,
        headroom=DEFAULT_HEADROOM if asked.headroom is None else asked.headroom,
        **workload,
    )
    assumed = [f"{Path(statement.path).name}: {clause}" for clause in statement.notes.assumed]
    changed = differences(profile, software)
    if changed:
        assumed.append(
            f"software: {profile.name} as {Path(statement.path).name} switches it: "
            f"{', '.join(changed)}"
        )
    job = replace(job, assumptions=(*job.assumptions, *dict.fromkeys(assumed)))
    scenario = build_scenario(sized, statement.model, job)
    plan = plan_from_flags(
        scenario,
        Restrictions(**{axis: (value,) for axis, value in decisions.items()}),
        stage_layers=asked.stage_layers or statement.stage_layers,
        recompute_layers=statement.recompute_layers,
        hosts=asked.hosts,
    )
    return LaunchedPlan(
        kind=statement.kind,
        path=statement.path,
        scenario=scenario,
        plan=plan,
        notes=statement.notes,
        statement=statement,
    )


def _decisions(statement: Statement, asked: Asked) -> dict[str, Any]:
    """What the file and the user decide together. Raises: InputError where they disagree."""
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
    if asked.stage_layers is not None and statement.stage_layers not in (None, asked.stage_layers):
        raise _disagrees(statement, "stage_layers", statement.stage_layers, asked.stage_layers)
    return decisions


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


def _sized(statement: Statement, cluster: ClusterSpec, asked: Asked) -> ClusterSpec:
    if asked.nodes is not None or asked.devices is not None:
        sized = cluster.sized(nodes=asked.nodes, devices=asked.devices)
        stated = statement.devices
        if stated is not None and stated != (asked.devices or sized.num_devices):
            statement.notes.assumed.append(f"the devices asked for, not the {stated} of the file")
        return sized
    if statement.devices is not None:
        return cluster.sized(devices=statement.devices)
    if cluster.num_devices is None:
        raise InputError(
            "does not say how many devices it runs on",
            path=statement.path,
            hint="give --nodes or --devices",
        )
    statement.notes.assumed.append(
        f"all {cluster.num_devices} devices of {cluster.name} (the file does not say how many)"
    )
    return cluster.sized()


def _devices(statement: Statement, cluster: ClusterSpec, asked: Asked) -> int:
    stated = None if asked.nodes is not None else asked.devices or statement.devices
    return stated or cluster.num_devices or 0


def _workload(statement: Statement, asked: Asked) -> dict[str, Any]:
    """Fields of the job that are stated or asked for. Raises: InputError where they disagree."""
    workload: dict[str, Any] = dict(statement.workload)
    for name in ("global_batch_size", "seq_length", "precision"):
        value = getattr(asked, name)
        if value is None:
            continue
        if workload.get(name, value) != value:
            raise _disagrees(statement, name, workload[name], value)
        workload[name] = value
    return workload
