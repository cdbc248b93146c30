"""`planner validate`: estimates compared with measured runs."""

from typing import Annotated

import typer

from planner import api
from planner.cli.options import Json, option
from planner.cli.output import write_stdout


def validate(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUNS.yaml",
            help="Files of measured runs, or shipped names. [default: all that are shipped]",
            show_default=False,
        ),
    ] = None,
    device_file: Annotated[
        str | None, option("FILE", "A device file to use for the device of its name.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare estimates with measured runs: step time, memory, fit, ranking.

    Runs that cannot be planned are listed; the others go on.

    Exit code 0: compared; 2: bad input.
    """
    validation = api.validate(runs, device_file=device_file)
    if json:
        write_stdout(api.to_text(validation))
        return

    from planner.reports.console import show
    from planner.reports.validation import validation_report

    show(validation_report(validation, every_run=bool(runs)))
