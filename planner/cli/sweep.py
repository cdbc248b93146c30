"""`planner sweep`: the searches of a study, and the points that nothing beats."""

from typing import Annotated

import typer

from planner import api
from planner.cli import values
from planner.cli.options import Json, option
from planner.cli.output import write_stdout
from planner.cli.progress import PointsLine
from planner.errors import InputError
from planner.specs import ranges

NO_PLAN = 1
MOST_JOBS = 10_000

Jobs = Annotated[
    str | None, option("N", "Searches at the same time. [default: as many as there are cores]")
]

Out = Annotated[
    str | None,
    option("DIR", "Keep answers there: tables, a page, plans, and what a later run goes on from."),
]


def sweep(
    study: Annotated[
        str, typer.Argument(metavar="STUDY.yaml", help="The study file.", show_default=False)
    ],
    out: Out = None,
    jobs: Jobs = None,
    scheduler: Annotated[
        str | None, option("URL", "Run on a cluster: dask://HOST:PORT or ray://HOST:PORT.")
    ] = None,
    every_point: Annotated[
        bool,
        typer.Option("--every-point", help="Search also for points that others are known to beat."),
    ] = False,
    json: Json = False,
) -> None:
    """Search for every point of a study: clusters, models, numbers of nodes, or any other field of
    their files, over lists and ranges.

    Exit code 0: points have plans; 1: no point has one; 2: bad input.
    """
    count = values.whole("--jobs", jobs, most=MOST_JOBS)
    if count is not None and scheduler is not None:
        raise InputError(
            "--jobs and --scheduler are both given; the scheduler says how many searches run",
            hint="leave one of them out",
        )
    with PointsLine() as line:
        swept = api.sweep(
            study,
            out=out,
            jobs=count,
            scheduler=scheduler,
            every_point=every_point,
            progress=line.points,
        )
    show_answers(swept, json=json)


def compare_clusters(
    clusters: Annotated[
        list[str],
        typer.Argument(
            metavar="CLUSTER...", help="Clusters: shipped names or YAML files.", show_default=False
        ),
    ],
    model: Annotated[
        str, option("NAME|FILE", "Model: a shipped name or a YAML file.", names="model")
    ],
    tokens: Annotated[
        str | None, option("N", "Tokens of the whole job, such as 15T: compares days and costs.")
    ] = None,
    nodes: Annotated[
        str | None,
        option("N,...|N..M", "Compare on these numbers of nodes. [default: all of each cluster]"),
    ] = None,
    global_batch_size: Annotated[str | None, option("N", "Sequences per step.")] = None,
    seq_length: Annotated[str | None, option("S", "Tokens per sequence.")] = None,
    precision: Annotated[str | None, option("FORMAT", "Number format.")] = None,
    software: Annotated[
        str | None, option("NAME|FILE", "Software profile.", names="software")
    ] = None,
    jobs: Jobs = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Compare clusters by the best plan for a model on each: the short form of a study.

    Exit code 0: points have plans; 1: no point has one; 2: bad input.
    """
    span = values.span("--nodes", nodes, most=ranges.MOST_NODES)
    listed = span or values.wholes("--nodes", nodes, most=ranges.MOST_NODES)
    with PointsLine() as line:
        swept = api.compare_clusters(
            *clusters,
            model=model,
            tokens=tokens,
            nodes=listed,
            global_batch_size=values.whole(
                "--global-batch-size", global_batch_size, most=ranges.MOST_SEQUENCES
            ),
            seq_length=values.whole("--seq-length", seq_length, most=ranges.LONGEST_SEQUENCE),
            precision=precision,
            software=software,
            jobs=values.whole("--jobs", jobs, most=MOST_JOBS),
            out=out,
            progress=line.points,
        )
    show_answers(swept, json=json)


def show_answers(swept: api.SweptStudy, *, json: bool) -> None:
    """Prints what was found. Raises: typer.Exit with code 1 where no point has a plan."""
    if json:
        write_stdout(api.to_text(swept.document))
    else:
        from planner.reports.console import show
        from planner.reports.sweep import sweep_report

        show(sweep_report(swept.result))
    if not any(one.outcome == "planned" for one in swept.points):
        raise typer.Exit(NO_PLAN)
