"""`planner size`: the smallest cluster for a job."""

from typing import Annotated

import typer

from planner import api
from planner.api.sizes import FitsNowhere
from planner.cli import values
from planner.cli.inputs import job_keywords
from planner.cli.options import Headroom, Json, WorkloadOptions, option
from planner.cli.output import write_stdout
from planner.specs.files.writing import check_writable, write_file


def size(
    workload: WorkloadOptions,
    model: Annotated[
        str, option("NAME|FILE", "Model: a shipped name or a YAML file.", names="model")
    ],
    device: Annotated[
        str | None,
        option("NAME|FILE", "Device: nodes are those that usually hold it.", names="device"),
    ] = None,
    cluster: Annotated[
        str | None,
        option("NAME|FILE", "Cluster of equal nodes, instead of --device.", names="cluster"),
    ] = None,
    within: Annotated[
        str | None, option("TIME", "How long the job of --tokens may take, such as 30d or 500h.")
    ] = None,
    headroom: Headroom = None,
    time_limit: Annotated[str | None, option("S", "Give up after S seconds.")] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the plan to FILE as JSON."),
    ] = None,
    json: Json = False,
) -> None:
    """Find the fewest devices that a job fits on, and the fewest that end it in time.

    Exit code 0: found; 1: the job fits on no number of nodes, or none ends it in time; 2: bad
    input.
    """
    check_writable(output)
    try:
        found = api.size(
            model,
            device=device,
            cluster=cluster,
            within=within,
            time_limit_s=values.duration_s("--time-limit", time_limit),
            **job_keywords(headroom, workload),
        )
    except FitsNowhere as nothing:
        if json:
            write_stdout(api.to_text(nothing.document))
        raise
    late = found.within_s is not None and found.target is None
    if output is not None and not late:
        write_file(output, api.to_text(found.best))
    if json:
        write_stdout(api.to_text(found))
    else:
        from planner.reports.console import show
        from planner.reports.size import size_report

        target = found.target
        show(
            size_report(
                (found.fit.plan, found.fit.estimate),
                None if target is None else (target.plan, target.estimate),
                found.within_s,
                found.most_nodes,
            )
        )
    if late:
        raise typer.Exit(1)
