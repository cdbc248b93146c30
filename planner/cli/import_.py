"""`planner import`: from the files users have to the planner's own."""

from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli import values
from planner.cli.options import Json, option
from planner.cli.output import check_writable, note, write_file, write_stdout
from planner.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

app = typer.Typer(
    help="Import a model or a cluster from files of other programs.",
    rich_markup_mode=None,
)

Output = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Write there, not to stdout.", show_default=False
    ),
]
MOST_COMMANDS = 1000
LARGEST_VOCABULARY = 10**9


@app.command("model")
def model(
    described: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|NAME",
            help="config.json, launch script, override list, or a name such as 'llama3 8B'.",
            show_default=False,
        ),
    ],
    name: Annotated[str | None, option("NAME", "Name of the model.")] = None,
    assume: Annotated[
        str | None, option("TYPE", "Read a config of an unknown type as this known one.")
    ] = None,
    variables: Annotated[
        str | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE,...",
            help="Variables that a launch script leaves to its environment.",
            show_default=False,
        ),
    ] = None,
    command: Annotated[
        str | None, option("N", "The training command of a script that has several.")
    ] = None,
    vocab_size: Annotated[
        str | None, option("N", "Size of the vocabulary, where only the tokenizer knows it.")
    ] = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Import a model: a Hugging Face config.json, a Megatron-LM command line or launch script, a
    list of Megatron-Bridge overrides, or the name of a torchtitan model.

    What was read, assumed and left out is said on stderr and in the file.
    """
    number = values.whole("--command", command, most=MOST_COMMANDS)
    vocabulary = values.whole("--vocab-size", vocab_size, most=LARGEST_VOCABULARY)
    given = assignments("--set", variables)
    check_writable(output)

    from planner.importers.models import import_model

    imported = import_model(
        " ".join(described),
        name=name,
        assume=assume,
        given=given,
        command=number,
        vocabulary=vocabulary,
    )
    say(imported.notes.lines())
    if json:
        from planner.plan_document import to_text

        content = to_text(dict(imported.mapping))
    else:
        content = imported.text
    if output is None:
        write_stdout(content)
    else:
        write_file(output, content)


def assignments(name: str, text: str | None) -> dict[str, str]:
    """`A=1,B=2` → its variables."""
    given: dict[str, str] = {}
    for part in [] if text is None else text.split(","):
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier():
            raise InputError(f"{name}: {part!r} is not NAME=VALUE")
        given[key.strip()] = value.strip()
    return given


def say(lines: "Iterable[str]") -> None:
    for line in lines:
        note(line)
