"""`planner estimate`: memory and time of one plan."""

from dataclasses import asdict, fields
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli import values
from planner.cli.inputs import scenario_from_options, scenario_of_plan
from planner.cli.options import (
    InputOptions,
    Json,
    LaunchInputOptions,
    LayoutOptions,
    PlanOptions,
    ScriptOptions,
    WorkloadOptions,
    option,
)
from planner.cli.output import note, write_stdout
from planner.errors import InputError
from planner.specs import ranges
from planner.specs.files.writing import check_writable, write_file

if TYPE_CHECKING:
    from planner.importers.launch import LaunchedPlan
    from planner.plan import Plan
    from planner.plan_document import ReadPlan, RecordedInputs
    from planner.training.scenario import Scenario
    from planner.training.search.space.restrictions import Restrictions

DOES_NOT_FIT = 1


def estimate(
    inputs: LaunchInputOptions,
    workload: WorkloadOptions,
    decisions: PlanOptions,
    layout: LayoutOptions,
    script: ScriptOptions,
    plan: Annotated[
        str | None,
        option(
            "FILE[#RANK]",
            "A plan of a plan file, a Megatron-LM launch script or a DeepSpeed JSON, instead of "
            "flags.",
        ),
    ] = None,
    timeline: Annotated[
        str | None,
        option("FILE", "Write the step pass by pass as a trace that ui.perfetto.dev opens."),
    ] = None,
    json: Json = False,
) -> None:
    """Estimate memory and time of one plan.

    The plan is given by flags, one value each, or read from a plan file or from what launches
    the job. A launch script states its model; flags fill in what a launch file leaves open.

    Exit code 0: it fits; 1: it does not fit; 2: bad input.
    """
    check_writable(timeline, option="--timeline")
    launched = _launched(plan, inputs, workload, decisions, layout, script)
    read = None
    if launched is None:
        script.refuse(plan)
        read = _read(plan, decisions, layout)

    from planner.plan import RankedPlan
    from planner.plan_document import record_inputs, to_document, to_text
    from planner.plan_document.check import check_read_plan
    from planner.training.estimate import estimate as price

    if launched is not None:
        scenario, priced = launched.scenario, launched.plan
    elif read is None:
        scenario, priced = _from_flags(inputs.with_model(), workload, decisions, layout)
    else:
        scenario = scenario_of_plan(inputs.with_model(), workload, read)
        priced = read.plan
        check_read_plan(scenario, read)
    cost = price(scenario, priced)
    recorded = record_inputs(scenario.cluster, scenario.model, scenario.job)
    if read is not None:
        _note_changes(read, recorded)
    if timeline is not None:
        from planner.training.timeline import step_timeline, trace_text

        trace = trace_text(step_timeline(scenario, priced))
        write_file(timeline, trace, option="--timeline")
    if json:
        ranked = RankedPlan(rank=1, plan=priced, estimate=cost)
        write_stdout(to_text(to_document(recorded, (ranked,))))
    else:
        from planner.reports.console import show
        from planner.reports.estimate import estimate_report

        show(estimate_report(recorded, priced, cost))
    if not cost.memory.fits:
        raise typer.Exit(DOES_NOT_FIT)


def _launched(
    plan: str | None,
    inputs: LaunchInputOptions,
    workload: WorkloadOptions,
    decisions: PlanOptions,
    layout: LayoutOptions,
    script: ScriptOptions,
) -> "LaunchedPlan | None":
    """What a launch file describes; None for a plan file and for flags alone."""
    if plan is None:
        return None

    from planner.importers.launch_file import is_launch

    if not is_launch(plan):
        return None

    from planner.cli.launched import launched_plan
    from planner.specs.load import load_cluster, load_model

    launched = launched_plan(
        plan,
        load_cluster(inputs.cluster),
        None if inputs.model is None else load_model(inputs.model),
        inputs.headroom,
        workload,
        decisions,
        script,
        stage_layers=values.layers("--stage-layers", layout.stage_layers),
        recompute_layers=_recomputed(layout),
        hosts=None if layout.hosts is None else read_hosts(layout.hosts),
    )
    launched.check()
    return launched


def _recomputed(layout: LayoutOptions) -> int | None:
    return values.whole("--recompute-layers", layout.recompute_layers, most=ranges.MOST_LAYERS)


def _read(plan: str | None, decisions: PlanOptions, layout: LayoutOptions) -> "ReadPlan | None":
    """The plan of a file; InputError when flags decide something as well."""
    if plan is None:
        return None
    decided = {**asdict(decisions), **asdict(layout)}
    for name, text in decided.items():
        if text is not None:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"--plan and {flag} are both given; the plan file decides it already")

    from planner.plan_document import read_plan

    return read_plan(plan)


def _from_flags(
    inputs: InputOptions,
    workload: WorkloadOptions,
    decisions: PlanOptions,
    layout: LayoutOptions,
) -> "tuple[Scenario, Plan]":
    from planner.training.search.plans.build import plan_from_flags
    from planner.training.search.space.restrictions import parse_restrictions

    layers = values.layers("--stage-layers", layout.stage_layers)
    recomputed = _recomputed(layout)
    names = None if layout.hosts is None else read_hosts(layout.hosts)
    flags = parse_restrictions(asdict(decisions))
    scenario = scenario_from_options(inputs, workload, devices=_devices(flags))
    return scenario, plan_from_flags(
        scenario, flags, stage_layers=layers, recompute_layers=recomputed, hosts=names
    )


def _devices(flags: "Restrictions") -> int | None:
    """Devices that the degrees add up to when they name the replicas; otherwise the replicas
    follow from the devices."""
    if flags.data is None:
        return None
    axes = (flags.tensor, flags.pipeline, flags.data, flags.context)
    return prod(axis[0] for axis in axes if axis is not None)


def read_hosts(path: str) -> tuple[str, ...]:
    """Host names, one per line; blank lines and what follows # are skipped.

    Raises: InputError with the place of what is no host name, or is listed before."""
    from planner.specs.files.text_file import decode, read_bytes
    from planner.specs.names import check_host

    found: dict[str, int] = {}
    for number, line in enumerate(decode(read_bytes(Path(path)), path).splitlines(), start=1):
        written = line.partition("#")[0]
        name = written.strip()
        if not name:
            continue
        column = len(written) - len(written.lstrip()) + 1
        try:
            check_host(name)
        except ValueError as error:
            raise InputError(str(error), path=path, line=number, column=column) from error
        if name in found:
            raise InputError(
                f"host {name} is listed already, on line {found[name]}",
                path=path,
                line=number,
                column=column,
            )
        found[name] = number
    if not found:
        raise InputError("the file names no host; one host name per line is needed", path=path)
    return tuple(found)


def _note_changes(read: "ReadPlan", now: "RecordedInputs") -> None:
    """Says on stderr when the plan was made for other files than those it is estimated with."""
    for kind in ("cluster", "model"):
        then, current = getattr(read.inputs, kind), getattr(now, kind)
        if then.sha256 != current.sha256:
            note(f"{read.place} was made for another {kind} file: {then.name}")
    for field in fields(read.inputs.job):
        then, current = (getattr(job, field.name) for job in (read.inputs.job, now.job))
        if then != current and field.name not in ("headroom", "software_sha256"):
            note(f"{read.place} was made for {field.name.replace('_', ' ')} {then}, not {current}")
