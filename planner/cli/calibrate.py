"""`planner calibrate`: a device file refitted to measured runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.inputs import scenario_of_plan
from planner.cli.options import InputOptions, Json, WorkloadOptions, option
from planner.cli.output import note, write_stdout
from planner.errors import InputError, PlannerError
from planner.specs.files.writing import check_writable, write_file

if TYPE_CHECKING:
    from planner.calibration.observations import Observation
    from planner.plan_document import ReadPlan
    from planner.specs.runs.spec import RunError

REFUSED = 1
RUNS_SUFFIXES = (".yaml", ".yml", ".json")
DEVICE_FILE = "--device-file"


def calibrate(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUNS.yaml|LOG",
            help="Files of measured runs, or training logs of Megatron-LM, torchtitan, DeepSpeed.",
            show_default=False,
        ),
    ],
    device_file: Annotated[str, option("OUT.yaml", "The device file to write.")],
    device: Annotated[
        str | None, option("NAME", "The device to calibrate, when the runs are on several.")
    ] = None,
    plan: Annotated[
        str | None,
        option("FILE[#RANK],...", "The plan of every training log: one for all, or one for each."),
    ] = None,
    cluster: Annotated[
        str | None, option("NAME|FILE", "Cluster of the logs. [default: the plan's]")
    ] = None,
    model: Annotated[
        str | None, option("NAME|FILE", "Model of the logs. [default: the plan's]")
    ] = None,
    json: Json = False,
) -> None:
    """Refit the constants of a device file to measured runs.

    Constants that the runs cannot tell are left as they are, and named; a fit that does not hold on
    runs left out of it is refused.

    Exit code 0: the device file is written; 1: refused; 2: bad input.
    """
    check_writable(device_file, option=DEVICE_FILE)
    _check_inputs(runs, device_file)
    logs = [name for name in runs if _is_log(name)]
    plans = _plans(plan, logs)

    from planner.calibration.calibrate import calibrate as refit
    from planner.calibration.observations import device_of, on_device

    observations, left_out = _of_files([name for name in runs if name not in logs])
    observations += [
        _of_log(log, read, cluster, model) for log, read in zip(logs, plans, strict=True)
    ]
    if not observations:
        raise InputError("no run with a step time is given")
    chosen = device_of(observations, device)
    found = refit(on_device(observations, chosen), chosen)
    written = None
    if found.calibrated is not None:
        from planner.calibration.device_file import device_file as text_of

        write_file(device_file, text_of(found.calibrated), option=DEVICE_FILE)
        written = device_file
    if json:
        from planner.calibration.document import to_document
        from planner.plan_document.text import to_text

        write_stdout(to_text(to_document(found, written=written, left_out=left_out)))
    else:
        from planner.reports.calibration import calibration_report
        from planner.reports.console import show

        show(calibration_report(found, written=written, left_out=left_out))
    if written is None:
        raise typer.Exit(REFUSED)


def _check_inputs(runs: list[str], device_file: str) -> None:
    """Raises: InputError for a folder, or a file that the device file would replace."""
    for path in map(Path, runs):
        if path.is_dir():
            raise InputError(f"{path} is a folder; name the files of measured runs or logs in it")
        if path.exists() and Path(device_file).exists() and path.samefile(device_file):
            raise InputError(f"{DEVICE_FILE}: {device_file!r} is one of the runs' files")


def _is_log(name: str) -> bool:
    """Whether a name means a training log: a file that is neither YAML nor shipped."""
    from planner.specs.files.catalog import list_shipped, looks_like_path

    if name.lower().endswith(RUNS_SUFFIXES) or name in list_shipped("runs"):
        return False
    return looks_like_path(name) or bool(Path(name).suffix) or Path(name).exists()


def _plans(references: str | None, logs: list[str]) -> "list[ReadPlan]":
    """The plan of each log."""
    if references is None:
        if logs:
            raise InputError(
                f"{logs[0]} is a training log; --plan says which plan it is of",
                hint="such as --plan plans.json#1, or a plan.json from `planner estimate … --json`",
            )
        return []
    if not logs:
        raise InputError("--plan is given but no training log; runs of a file state their own plan")

    from planner.plan_document import read_plan

    read = [read_plan(reference.strip()) for reference in references.split(",")]
    if len(read) == 1:
        return read * len(logs)
    if len(read) != len(logs):
        raise InputError(f"--plan names {len(read)} plans for {len(logs)} training logs")
    return read


def _of_files(names: list[str]) -> "tuple[list[Observation], list[RunError]]":
    """Runs of files that state a step time and can be planned, and those that cannot."""
    from planner.calibration.observations import observed_run
    from planner.specs.files.catalog import resolve
    from planner.specs.runs.build import load_runs
    from planner.specs.runs.spec import RunError

    observations: list[Observation] = []
    left_out: list[RunError] = []
    for name in names:
        file = load_runs(resolve("runs", name))
        left_out += file.errors
        for run in file.runs:
            try:
                observed = observed_run(run, name)
            except PlannerError as error:
                left_out.append(RunError(id=run.id, message=str(error)))
                continue
            if observed is not None:
                observations.append(observed)
    return observations, left_out


def _of_log(log: str, read: "ReadPlan", cluster: str | None, model: str | None) -> "Observation":
    """What a training log says of its plan."""
    from planner.calibration.logs import StepSize, read_log
    from planner.calibration.observations import observed
    from planner.plan_document.check import check_read_plan

    inputs = InputOptions(
        cluster=_recorded("cluster", cluster, read), model=_recorded("model", model, read)
    )
    scenario = scenario_of_plan(inputs, WorkloadOptions(), read)
    check_read_plan(scenario, read)
    job = scenario.job
    found = read_log(
        Path(log),
        StepSize(
            sequences=job.global_batch_size,
            tokens=job.global_batch_size * job.seq_length,
            devices=job.devices,
        ),
    )
    note(f"{log}: {found.framework}, {found.measured.step_s:.4g} s, median of {found.steps} steps")
    observation = observed(scenario, read.plan, found.measured, id=Path(log).stem, source=log)
    assert observation is not None
    return observation


def _recorded(kind: str, given: str | None, read: "ReadPlan") -> str:
    """The cluster or model of an option, else the one the plan was made for, if it is shipped."""
    if given is not None:
        return given
    from planner.specs.files.catalog import list_shipped

    recorded = read.inputs.cluster if kind == "cluster" else read.inputs.model
    if recorded.name not in list_shipped("cluster" if kind == "cluster" else "model"):
        raise InputError(
            f"{read.place} was made for {kind} {recorded.name}, which is not shipped; "
            f"--{kind} names its file"
        )
    return recorded.name
