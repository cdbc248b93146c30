"""`planner init`: a cluster file to start from."""

from typing import Annotated

import typer

from planner import api
from planner.cli import values
from planner.cli.options import completion, option
from planner.cli.output import write_stdout
from planner.specs import ranges
from planner.specs.files.writing import check_writable, write_file


def init(
    device: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE",
            help="The nodes' device: a name that planner list has, or a device file.",
            show_default=False,
            autocompletion=completion("device"),
        ),
    ],
    nodes: Annotated[str, option("N", "How many nodes. [default: 1]")] = "1",
    name: Annotated[
        str | None, option("NAME", "Name of the cluster. [default: my-cluster]")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write there, not to stdout.", show_default=False
        ),
    ] = None,
) -> None:
    """Write a cluster file to start from: nodes as they usually are with a device, and in comments
    what else the file may say.

    Exit code 0: written; 2: bad input.
    """
    count = values.whole("--nodes", nodes, most=ranges.MOST_NODES)
    check_writable(output)
    text = api.cluster_template(device, nodes=count or 1, name=name)
    if output is None:
        write_stdout(text)
    else:
        write_file(output, text)
