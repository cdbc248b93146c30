"""`planner calibrate`: a device file refitted to measured runs."""

from pathlib import Path
from typing import Annotated

import typer

from planner import api
from planner.cli.options import Json, option
from planner.cli.output import note, write_stdout
from planner.errors import InputError
from planner.specs.files.writing import check_writable, write_file

REFUSED = 1
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
        str | None,
        option("NAME", "The device to calibrate, when the runs are on several.", names="device"),
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
    """Refit the constants of a device file to measured runs.

    Constants that the runs cannot tell are left as they are, and named; a fit that does not hold on
    runs left out of it is refused.

    Exit code 0: the device file is written; 1: refused; 2: bad input.
    """
    table = next((one for one in runs if one.endswith(".csv")), None)
    if table is not None:
        raise InputError(
            f"{table} is a table; calibrate refits device files for training runs",
            hint="kernels of serving engines are in the engine file: `planner show vllm`; `planner "
            "validate TABLE.csv` says how far they are off",
        )
    check_writable(device_file, option=DEVICE_FILE)
    _refuse_to_replace(device_file, runs)
    found = api.calibrate(
        runs,
        device=device,
        plan=None if plan is None else [reference.strip() for reference in plan.split(",")],
        cluster=cluster,
        model=model,
        note=note,
    )
    written = None
    if found.device_file is not None:
        write_file(device_file, found.device_file, option=DEVICE_FILE)
        written = device_file
    if json:
        from planner.calibration.document import to_document

        document = to_document(found.calibration, written=written, left_out=found.left_out)
        write_stdout(api.to_text(document))
    else:
        from planner.reports.calibration import calibration_report
        from planner.reports.console import show

        show(calibration_report(found.calibration, written=written, left_out=found.left_out))
    if written is None:
        raise typer.Exit(REFUSED)


def _refuse_to_replace(device_file: str, runs: list[str]) -> None:
    """Raises: InputError where the device file would replace one of runs."""
    for path in map(Path, runs):
        if path.exists() and Path(device_file).exists() and path.samefile(device_file):
            raise InputError(f"{DEVICE_FILE}: {device_file!r} is one of the runs' files")
