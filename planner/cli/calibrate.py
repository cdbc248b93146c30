"""`planner calibrate`: a device file, or an engine file, refitted to measured runs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from planner import api
from planner.cli.options import Json, option
from planner.cli.output import note, write_stdout
from planner.errors import InputError
from planner.specs.files.writing import check_writable, write_file

REFUSED = 1
DEVICE_FILE = "--device-file"
ENGINE_FILE = "--engine-file"


def calibrate(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUNS.yaml|LOG|TABLE.csv",
            help="Files of measured runs, or training logs of Megatron-LM, torchtitan, DeepSpeed; "
            "tables of serving runs.",
            show_default=False,
        ),
    ],
    device_file: Annotated[
        str | None, option("OUT.yaml", "The device file to write, of training runs.")
    ] = None,
    engine_file: Annotated[
        str | None, option("OUT.yaml", "The engine file to write, of serving runs.")
    ] = None,
    device: Annotated[
        str | None,
        option("NAME", "The device to calibrate, when the runs are on several.", names="device"),
    ] = None,
    engine: Annotated[
        str | None,
        option(
            "NAME|FILE",
            "The engine to calibrate, when serving runs are of several, or an engine file to "
            "start from.",
            names="engine",
        ),
    ] = None,
    plan: Annotated[
        str | None,
        option("FILE[#RANK],...", "The plan of every training log: one for all, or one for each."),
    ] = None,
    cluster: Annotated[
        str | None,
        option("NAME|FILE", "Cluster of the logs. [default: the plan's]", names="cluster"),
    ] = None,
    model: Annotated[
        str | None, option("NAME|FILE", "Model of the logs. [default: the plan's]", names="model")
    ] = None,
    json: Json = False,
) -> None:
    """Refit the constants of a device file to measured training runs, or those of an engine file to
    measured serving runs.

    Constants that the runs cannot tell are left as they are, and named; a fit that does not hold on
    runs left out of it is refused.

    Exit code 0: the file is written; 1: refused; 2: bad input.
    """
    if any(one.lower().endswith(".csv") for one in runs):
        for_training = {DEVICE_FILE: device_file, "--plan": plan}
        for_training |= {"--cluster": cluster, "--model": model}
        out = _out(ENGINE_FILE, engine_file, runs, for_training, "training")
        written = _calibrate_serving(runs, out, engine, device, json=json)
    else:
        for_serving = {ENGINE_FILE: engine_file, "--engine": engine}
        out = _out(DEVICE_FILE, device_file, runs, for_serving, "serving")
        plans = None if plan is None else [reference.strip() for reference in plan.split(",")]
        found = api.calibrate(
            runs, device=device, plan=plans, cluster=cluster, model=model, note=note
        )
        written = _written(DEVICE_FILE, out, found.device_file)
        from planner.calibration.document import to_document
        from planner.reports.calibration import calibration_report

        parts: Any = {"written": written, "left_out": found.left_out}
        _answer(found.calibration, to_document, calibration_report, parts, json=json)
    if written is None:
        raise typer.Exit(REFUSED)


def _calibrate_serving(
    runs: list[str], out: str, engine: str | None, device: str | None, *, json: bool
) -> str | None:
    """Where the engine file was written; None where the calibration is refused."""
    other = next((one for one in runs if not one.lower().endswith(".csv")), None)
    if other is not None:
        raise InputError(
            f"{other} is not a table of serving runs", hint="calibrate training runs by themselves"
        )
    found = api.calibrate_serving(runs, engine=engine, device=device)
    written = _written(ENGINE_FILE, out, found.engine_file)
    from planner.calibration.serving.document import to_document
    from planner.reports.calibration import engine_calibration_report

    parts: Any = {"written": written, "left_out": found.left_out}
    _answer(found.calibration, to_document, engine_calibration_report, parts, json=json)
    return written


def _out(
    option_name: str, path: str | None, runs: list[str], others: dict[str, str | None], kind: str
) -> str:
    """The file to write. Raises: InputError where none is named, it cannot be written, or an option
    is for the other `kind` of runs."""
    for name, value in others.items():
        if value is not None:
            raise InputError(f"{name} is for {kind} runs; {runs[0]} has none")
    if path is None:
        raise InputError(f"{option_name} OUT.yaml says which file to write")
    check_writable(path, option=option_name)
    _refuse_to_replace(path, runs, option_name)
    return path


def _written(option_name: str, path: str, text: str | None) -> str | None:
    if text is None:
        return None
    write_file(path, text, option=option_name)
    return path


def _answer(found: Any, document: Any, report: Any, parts: dict[str, Any], *, json: bool) -> None:
    if json:
        write_stdout(api.to_text(document(found, **parts)))
        return
    from planner.reports.console import show

    show(report(found, **parts))


def _refuse_to_replace(out: str, runs: list[str], option_name: str) -> None:
    """Raises: InputError where the file would replace one of runs."""
    for path in map(Path, runs):
        if path.exists() and Path(out).exists() and path.samefile(out):
            raise InputError(f"{option_name}: {out!r} is one of the runs' files")
