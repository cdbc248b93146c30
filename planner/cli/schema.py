"""`planner schema`: the JSON Schema of a file format."""

from typing import Annotated

import typer

from planner.cli import values
from planner.cli.output import write_stdout

KINDS = ("cluster", "model", "device", "software", "plan", "runs")


def schema(
    kind: Annotated[
        str,
        typer.Argument(metavar="|".join(KINDS), help="The file format.", show_default=False),
    ],
) -> None:
    """Print the JSON Schema of a file format."""
    from planner.plan_document import plan_schema
    from planner.plan_document.text import to_text
    from planner.specs.schema import json_schema

    match values.word("schema", kind, KINDS):
        case "cluster":
            document = json_schema("cluster")
        case "model":
            document = json_schema("model")
        case "device":
            document = json_schema("device")
        case "software":
            document = json_schema("software")
        case "runs":
            document = json_schema("runs")
        case _:
            document = plan_schema()
    write_stdout(to_text(document))
