"""`planner search`: the best plans for a model on a cluster."""

from dataclasses import replace
from time import monotonic
from typing import Annotated

import typer

from planner import api
from planner.cli import values
from planner.cli.decisions import RestrictOptions
from planner.cli.inputs import axis_keywords, job_keywords, read_cluster
from planner.cli.options import InputOptions, Json, WorkloadOptions, option
from planner.cli.options_serving import ServingSearchOptions
from planner.cli.output import write_stdout
from planner.cli.progress import ProgressLine
from planner.cli.serving import refuse_serving, search_serving
from planner.specs import ranges
from planner.specs.files.writing import check_writable, write_file

NO_PLAN, INTERRUPTED = 1, 130

SHORTEST_S = 0.001
"""What is left of a time limit that has passed."""


def search(
    inputs: InputOptions,
    workload: WorkloadOptions,
    restrict: RestrictOptions,
    served: ServingSearchOptions,
    top: Annotated[str, option("K", "How many plans to rank. [default: 10]")] = "10",
    time_limit: Annotated[
        str | None, option("S", "Stop after S seconds with the best plans so far.")
    ] = None,
    robust: Annotated[
        str | None,
        option("SHARE", "Rank by the worst case: bandwidth between nodes lower by SHARE."),
    ] = None,
    variants: Annotated[
        bool,
        typer.Option(
            "--variants", help="Show every plan, not only the fastest of its degrees and schedule."
        ),
    ] = False,
    cloud: Annotated[
        bool,
        typer.Option(
            "--cloud", help="Add every combination that fits, for the picture of planner report."
        ),
    ] = False,
    idle: Annotated[
        str | None,
        option("on|off", "Whether plans may leave nodes idle where that is faster. [default: on]"),
    ] = None,
    scaling: Annotated[
        str | None, option("N,...", "Add the best plan on N nodes each: how the job scales.")
    ] = None,
    rank_by: Annotated[
        str | None,
        option("step|goodput|cost", "What plans are ranked by, as the cluster file states it."),
    ] = None,
    budget: Annotated[
        str | None,
        option("AMOUNT", "The most that the whole job may cost, such as 40M, or a step: 0.5/step."),
    ] = None,
    at_least: Annotated[
        str | None, option("RATE", "The fewest tokens per second of a plan, such as 2M.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write the plans to FILE as JSON.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Find the best plans for a model on a cluster.

    With --serving the plans are of pools of replicas that answer requests.

    Exit code 0: plans were found; 1: nothing fits, no serving plan keeps the limits of the load, or
    time ran out before a plan was priced; 2: bad input.
    """
    began_s = monotonic()
    count = values.whole("--top", top, most=ranges.MOST_PLANS)
    limit_s = values.duration_s("--time-limit", time_limit)
    if served.serving is not None:
        check_writable(output)
        serving = search_serving(
            inputs,
            workload,
            restrict,
            served,
            top=count or 1,
            limit_s=limit_s,
            others={
                "robust": robust,
                "variants": variants,
                "cloud": cloud,
                "idle": idle,
                "scaling": scaling,
                "rank_by": rank_by,
                "budget": budget,
                "at_least": at_least,
            },
            output=output,
            json=json,
        )
        if serving.stopped == "interrupted":
            raise typer.Exit(INTERRUPTED)
        if not serving.offers:
            raise typer.Exit(NO_PLAN)
        return
    refuse_serving(served)
    slower = values.share("--robust", robust, below=1.0)
    idling = ranges.word("--idle", idle, ("on", "off"))
    sizes = values.wholes("--scaling", scaling, most=ranges.MOST_NODES)
    span = values.span("--nodes", workload.nodes, most=ranges.MOST_NODES)
    if span is not None:
        workload = replace(workload, nodes=str(span[-1]))
        sizes = (*(sizes or ()), *span)
    rate = values.rate("--at-least", at_least)
    check_writable(output)
    axes, job = axis_keywords(restrict), job_keywords(inputs.headroom, workload)
    cluster = read_cluster(inputs.cluster)
    run = api.search  # loads what a search needs, which takes time of the limit
    if limit_s is not None:
        limit_s = max(limit_s - (monotonic() - began_s), SHORTEST_S)
    with ProgressLine(limit_s=limit_s) as line:
        found = run(
            cluster,
            inputs.model,
            top=count or 1,
            time_limit_s=limit_s,
            robust=slower,
            cloud=cloud,
            idle=idling != "off",
            scaling=sizes,
            rank_by=rank_by,
            budget=budget,
            at_least=rate,
            progress=line.update,
            **axes,
            **job,
        )
    result = found.search
    if output is not None or json:
        text = api.to_text(found)
        if output is not None and (result.plans or result.nothing_fits):
            write_file(output, text)
        if json:
            write_stdout(text)
    if not json:
        from planner.reports.console import show
        from planner.reports.nothing import nothing_report
        from planner.reports.search import search_report

        if result.plans:
            show(search_report(found.inputs, result, variants=variants))
        else:
            show(nothing_report(found.inputs, result))
    if result.stopped == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if not result.plans:
        raise typer.Exit(NO_PLAN)
