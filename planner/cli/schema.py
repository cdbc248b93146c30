"""`planner schema`: the JSON Schema of a file format."""

from typing import Annotated

import typer

from planner import api
from planner.api.keywords import SCHEMAS
from planner.cli.output import write_stdout


def schema(
    kind: Annotated[
        str,
        typer.Argument(metavar="|".join(SCHEMAS), help="The file format.", show_default=False),
    ],
) -> None:
    """Print the JSON Schema of a file format."""
    write_stdout(api.to_text(api.schema(kind)))
