"""`planner validate`: estimates compared with measured runs."""

from typing import Annotated

import typer

from planner import api
from planner.cli.options import Json, completion, option
from planner.cli.output import write_stdout
from planner.errors import InputError


def validate(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUNS.yaml|TABLE.csv",
            help="Files of measured runs, or shipped names; tables of serving runs. [default: all "
            "training runs that are shipped]",
            show_default=False,
            autocompletion=completion("runs"),
        ),
    ] = None,
    device_file: Annotated[
        str | None, option("FILE", "A device file to use for the device of its name.")
    ] = None,
    engine_file: Annotated[
        str | None, option("FILE", "An engine file to use for the engine of its name.")
    ] = None,
    serving: Annotated[
        bool, typer.Option("--serving", help="The serving runs that are shipped.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare estimates with measured runs: step time, memory, fit, ranking; of serving runs, time
    to the first token, time of a token, throughput.

    Runs that cannot be planned are listed; the others go on.

    Exit code 0: compared; 2: bad input.
    """
    if serving or _tables(runs):
        _validate_serving(runs, device_file, engine_file, json)
        return
    if engine_file is not None:
        raise InputError("--engine-file is for serving runs; training runs take no engine file")
    validation = api.validate(runs, device_file=device_file)
    if json:
        write_stdout(api.to_text(validation))
        return

    from planner.reports.console import show
    from planner.reports.validation import validation_report

    show(validation_report(validation, every_run=bool(runs)))


def _tables(runs: list[str] | None) -> list[str]:
    return [name for name in runs or () if name.lower().endswith(".csv")]


def _validate_serving(
    runs: list[str] | None, device_file: str | None, engine_file: str | None, json: bool
) -> None:
    other = [name for name in runs or () if name not in _tables(runs)]
    if other:
        raise InputError(
            f"{other[0]} is not a table of serving runs", hint="compare training runs by themselves"
        )
    if device_file is not None:
        raise InputError("--device-file is for training runs; serving runs take no device file")
    validation = api.validate_serving(runs, engine_file=engine_file)
    if json:
        write_stdout(api.to_text(validation))
        return

    from planner.reports.console import show
    from planner.reports.serving import serving_validation_report

    show(serving_validation_report(validation))
