"""`planner report`: plans as a page that people look at."""

from typing import Annotated

import typer

from planner import api
from planner.cli.options import option
from planner.cli.output import note, write_stdout
from planner.specs.files.writing import check_writable, write_file


def report(
    plans: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Plans of a search or of an estimate.", show_default=False
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write there, not to stdout.", show_default=False
        ),
    ] = None,
    mine: Annotated[
        str | None,
        option("FILE[#RANK]", "Your own plan, for comparison: a plan file or a launch script."),
    ] = None,
    cluster: Annotated[
        str | None,
        option("NAME|FILE", "Cluster. [default: the plans', by its name]", names="cluster"),
    ] = None,
    model: Annotated[
        str | None, option("NAME|FILE", "Model. [default: the plans', by its name]", names="model")
    ] = None,
    software: Annotated[
        str | None,
        option(
            "NAME|FILE", "Software profile. [default: the plans', by its name]", names="software"
        ),
    ] = None,
) -> None:
    """Show plans as one HTML page that opens anywhere.

    The page holds all it shows: no network, no server. It opens from a disk or a mail, prints,
    and planner check, estimate and export read its plans back, as in report.html#1.

    Exit code 0: written; 2: bad input.
    """
    check_writable(output)
    text = api.report(plans, mine=mine, cluster=cluster, model=model, software=software, note=note)
    if output is None:
        write_stdout(text)
    else:
        write_file(output, text)
