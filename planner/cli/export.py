"""`planner export`: a plan as what frameworks and launchers read."""

from pathlib import Path
from typing import Annotated

import typer

from planner import api
from planner.cli.options import option
from planner.cli.output import note, write_stdout
from planner.errors import InputError
from planner.plan_document.serving.kind import is_serving_document
from planner.specs import ranges
from planner.specs.files.writing import check_writable, write_file

ALL = "all"
LAUNCH = "launch"

Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        help="Write there, not to stdout; a folder for --format launch and all.",
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
            "megatron-lm megatron-bridge nemo deepspeed torchtitan automodel accelerate slurm "
            "torchrun mpi kubernetes ranks verify; launch: a folder that starts the job; all: "
            "every one. Of serving plans: vllm sglang trtllm dynamo llm-d; all.",
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
        str | None, option("NAME|FILE", "Cluster. [default: the plan's]", names="cluster")
    ] = None,
    model: Annotated[
        str | None, option("NAME|FILE", "Model. [default: the plan's]", names="model")
    ] = None,
    software: Annotated[
        str | None, option("NAME|FILE", "Software profile. [default: the plan's]", names="software")
    ] = None,
    hosts: Annotated[
        str | None,
        option("FILE", "Names for the hosts of the plan, in its order, one per line."),
    ] = None,
) -> None:
    """Write a plan as framework arguments, a launcher, a rank table, or a folder that launches it.

    What the format cannot express is an error that names the field of the plan. Launchers take any
    nodes where all are alike; --hosts names those to take.

    Exit code 0: written; 2: bad input, or the format cannot express the plan.
    """
    if format in api.serving_formats() or is_serving_document(plan):
        _serving(plan, format, output, (style, software, hosts), cluster, model)
        return
    ranges.word("--format", format, (*api.export_formats(), LAUNCH, ALL))
    if format in (LAUNCH, ALL):
        folder = _folder(format, output, style)
        write = api.export_all if format == ALL else api.export_folder
        texts = write(plan, cluster=cluster, model=model, software=software, hosts=hosts, note=note)
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


def _serving(
    plan: str,
    format: str,
    output: str | None,
    others: tuple[str | None, ...],
    cluster: str | None,
    model: str | None,
) -> None:
    """The same of a serving plan. `others`: the values of options that it has none of."""
    for name, value in zip(("--style", "--software", "--hosts"), others, strict=True):
        if value is not None:
            raise InputError(f"{name}: {plan} holds serving plans, whose formats take none")
    ranges.word("--format", format, (*api.serving_formats(), ALL))
    if format == ALL:
        folder = _folder(format, output, None)
        texts = api.export_all_serving(plan, cluster=cluster, model=model, note=note)
        for name, text in texts.items():
            write_file(str(folder / name), text)
        return
    check_writable(output)
    text = api.export_serving(plan, format, cluster=cluster, model=model, note=note)
    if output is None:
        write_stdout(text)
    else:
        write_file(output, text)


def _folder(format: str, output: str | None, style: str | None) -> Path:
    if style is not None:
        styles = "every style" if format == ALL else "one folder for each framework"
        raise InputError(f"--style: --format {format} writes {styles}")
    if output is None:
        raise InputError(f"--format {format} writes files", hint="name their folder with --output")
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"--output: {output!r} is no folder: {reason.lower()}") from error
    return folder
