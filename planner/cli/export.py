"""`planner export`: a plan as what frameworks and launchers read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.inputs import scenario_of_plan
from planner.cli.options import InputOptions, WorkloadOptions, option
from planner.cli.output import note, write_stdout
from planner.errors import InputError
from planner.specs import ranges
from planner.specs.files.writing import check_writable, write_file

if TYPE_CHECKING:
    from planner.exporters.formats import Format
    from planner.exporters.job import ExportJob
    from planner.plan_document import ReadPlan
    from planner.training.scenario import Scenario

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
    from planner.exporters.formats import ALL, FORMATS

    name = ranges.word("--format", format, (*FORMATS, ALL)) or ALL
    if name == ALL:
        folder = _folder(output, style)
        _write_all(_job(plan, cluster, model, software, hosts), folder)
        return
    check_writable(output)
    chosen = FORMATS[name]
    write = chosen.styles[_style(chosen, name, style)].write
    job = _job(plan, cluster, model, software, hosts)
    text = write(job)
    for line in _notes(chosen, job):
        note(line)
    if output is None:
        write_stdout(text)
    else:
        write_file(output, text)


def _style(chosen: "Format", name: str, style: str | None) -> str:
    styles = tuple(chosen.styles)
    if style is not None and styles == ("",):
        raise InputError(f"--style: {name} is written in one way only")
    return ranges.word("--style", style, styles) or styles[0]


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


def _write_all(job: "ExportJob", folder: Path) -> None:
    """Every format that can express the plan; the others are named on stderr."""
    from planner.exporters.errors import Inexpressible
    from planner.exporters.formats import FORMATS

    noted: dict[str, None] = {}
    for chosen in FORMATS.values():
        for style in chosen.styles.values():
            try:
                text = style.write(job)
            except Inexpressible as error:
                noted[f"no {style.file}: {error}"] = None
                continue
            write_file(str(folder / style.file), text)
            noted |= dict.fromkeys(_notes(chosen, job))
    for line in noted:
        note(line)


def _notes(chosen: "Format", job: "ExportJob") -> tuple[str, ...]:
    if not chosen.names_hosts or job.listed:
        return chosen.notes(job)
    invented = (
        f"cluster {job.cluster.name} names no hosts; {job.hosts[0].name} and so on are "
        "placeholders: list hosts in the cluster file, or give --hosts FILE"
    )
    return (invented, *chosen.notes(job))


def _job(
    plan: str, cluster: str | None, model: str | None, software: str | None, hosts: str | None
) -> "ExportJob":
    from planner.plan_document import read_plan

    read = read_plan(plan)
    scenario = _scenario(read, cluster, model, software)

    from planner.exporters.job import export_job
    from planner.plan_document.check import check_read_plan

    check_read_plan(scenario, read)
    job = export_job(scenario, read.plan, rank=read.rank)
    if hosts is None:
        return job

    from planner.cli.estimate import read_hosts

    return job.renamed(read_hosts(hosts))


def _scenario(
    read: "ReadPlan", cluster: str | None, model: str | None, software: str | None
) -> "Scenario":
    """The plan's own inputs. Raises: InputError when files of the same names are not those the
    plan was made for."""
    inputs = InputOptions(
        cluster=cluster or _shipped(read, "cluster", read.inputs.cluster.name),
        model=model or _shipped(read, "model", read.inputs.model.name),
    )
    if software is None:
        _shipped(read, "software", read.inputs.job.software)
    scenario = scenario_of_plan(inputs, WorkloadOptions(software=software), read)

    from planner.plan_document import record_inputs

    now = record_inputs(scenario.cluster, scenario.model, scenario.job)
    for kind, then, found in (
        ("cluster", read.inputs.cluster, now.cluster),
        ("model", read.inputs.model, now.model),
    ):
        _same(read, kind, (then.name, then.sha256), (found.name, found.sha256))
    _same(
        read,
        "software",
        (read.inputs.job.software, read.inputs.job.software_sha256),
        (now.job.software, now.job.software_sha256),
    )
    return scenario


def _shipped(read: "ReadPlan", kind: str, name: str) -> str:
    from planner.specs.files.catalog import list_shipped

    if name not in list_shipped(kind):  # type: ignore[arg-type]
        raise InputError(
            f"{read.place} was made for {kind} {name!r}, which is no shipped file",
            hint=f"give it with --{kind} FILE",
        )
    return name


def _same(
    read: "ReadPlan", kind: str, then: tuple[str, str | None], found: tuple[str, str | None]
) -> None:
    if then[1] is None or then[1] == found[1]:
        return
    raise InputError(
        f"{read.place} was made for {kind} {then[0]} (sha256 {then[1][:12]}), found {found[0]} "
        f"(sha256 {(found[1] or 'unknown')[:12]})",
        hint=f"give the file it was made for with --{kind}, or plan again",
    )
