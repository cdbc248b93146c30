"""`planner export`: a plan as what frameworks and launchers read."""

from pathlib import Path
from typing import Annotated

import typer

from planner import api
from planner.cli.options import option
from planner.cli.output import note, write_stdout
from planner.errors import InputError
from planner.specs import ranges
from planner.specs.files.writing import check_writable, write_file

ALL = "all"

Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        help="Write there, not to stdout; a folder for --format all.",
        show_default=False,
    ),
]


def export(
    plan: Annotated[
        str,
        typer.Argument(metavar="FILE[#RANK]", help="A plan of a plan file.", show_default=False),
    ],
    format: Annotated[
        str,
        option(
            "FORMAT",
            "megatron-lm megatron-bridge nemo deepspeed torchtitan slurm torchrun mpi kubernetes "
            "ranks verify, or all.",
        ),
    ],
    style: Annotated[
        str | None,
        option(
            "STYLE",
            "Of megatron-lm: arguments shell yaml; of kubernetes: trainjob pytorchjob jobset. "
            "[default: the first]",
        ),
    ] = None,
    output: Output = None,
    cluster: Annotated[
        str | None, option("NAME|FILE", "Cluster. [default: the plan's, by its name]")
    ] = None,
    model: Annotated[
        str | None, option("NAME|FILE", "Model. [default: the plan's, by its name]")
    ] = None,
    software: Annotated[
        str | None, option("NAME|FILE", "Software profile. [default: the plan's, by its name]")
    ] = None,
    hosts: Annotated[
        str | None,
        option("FILE", "Names for the hosts of the plan, in its order, one per line."),
    ] = None,
) -> None:
    """Write a plan as framework arguments, a launcher or a rank table.

    What the format cannot express is an error that names the field of the plan.

    Exit code 0: written; 2: bad input, or the format cannot express the plan.
    """
    ranges.word("--format", format, (*api.export_formats(), ALL))
    if format == ALL:
        folder = _folder(output, style)
        texts = api.export_all(
            plan, cluster=cluster, model=model, software=software, hosts=hosts, note=note
        )
        for name, text in texts.items():
            write_file(str(folder / name), text)
        return
    check_writable(output)
    text = api.export(
        plan,
        format,
        style=style,
        cluster=cluster,
        model=model,
        software=software,
        hosts=hosts,
        note=note,
    )
    if output is None:
        write_stdout(text)
    else:
        write_file(output, text)


def _folder(output: str | None, style: str | None) -> Path:
    if style is not None:
        raise InputError("--style: --format all writes every style")
    if output is None:
        raise InputError("--format all writes files", hint="name their folder with --output")
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"--output: {output!r} is no folder: {reason.lower()}") from error
    return folder
