"""`planner validate`: estimates beside measured runs."""

from typing import Annotated

import typer

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
    from planner.specs.files.catalog import list_shipped, resolve
    from planner.specs.load import load_device
    from planner.validation.validate import validate_files

    names = runs or list_shipped("runs")
    validation = validate_files(
        [resolve("runs", name) for name in names],
        device=None if device_file is None else load_device(device_file),
    )
    if json:
        from planner.plan_document.text import to_text
        from planner.validation.document import to_document

        write_stdout(to_text(to_document(validation)))
        return

    from planner.reports.console import show
    from planner.reports.validation import validation_report

    show(validation_report(validation, every_run=bool(runs)))
