"""`planner show`: a shipped file."""

from typing import Annotated

import typer

from planner import api
from planner.cli.options import completion, option
from planner.cli.output import write_stdout


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="What planner list has a name for.",
            show_default=False,
            autocompletion=completion(
                "cluster", "model", "device", "library", "software", "runs", "engine"
            ),
        ),
    ],
    kind: Annotated[
        str | None,
        option(
            "KIND",
            "cluster, model, device, library, software or engine, where several have the name.",
        ),
    ] = None,
) -> None:
    """Print a shipped file, to read or to start from.

    Exit code 0: printed; 2: no such file.
    """
    write_stdout(api.shipped_text(name, kind=kind))
