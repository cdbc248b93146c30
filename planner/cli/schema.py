"""`planner schema`: the JSON Schema of a file format."""

from typing import Annotated

import typer

from planner.cli.output import write_stdout
from planner.specs import ranges

KINDS = ("cluster", "model", "plan", "runs", "device", "library", "software")


def schema(
    kind: Annotated[
        str,
        typer.Argument(metavar="|".join(KINDS), help="The file format.", show_default=False),
    ],
) -> None:
    """Print the JSON Schema of a file format."""
    from planner.plan_document import plan_schema
    from planner.plan_document.text import to_text
    from planner.specs.schema import SCHEMA_KINDS, json_schema

    word = ranges.word("schema", kind, KINDS)
    of_specs = next((known for known in SCHEMA_KINDS if known == word), None)
    write_stdout(to_text(plan_schema() if of_specs is None else json_schema(of_specs)))
