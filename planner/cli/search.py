"""`planner search`: the best plans for a model on a cluster."""

from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from planner.cli import values
from planner.cli.inputs import scenario_from_options
from planner.cli.options import InputOptions, Json, RestrictOptions, WorkloadOptions, option
from planner.cli.output import write_stdout
from planner.cli.progress import ProgressLine
from planner.specs import ranges
from planner.specs.files.writing import check_writable, write_file

NOTHING_FITS, INTERRUPTED = 1, 130


def search(
    inputs: InputOptions,
    workload: WorkloadOptions,
    restrict: RestrictOptions,
    top: Annotated[str, option("K", "How many plans to rank. [default: 10]")] = "10",
    time_limit: Annotated[
        str | None, option("S", "Stop after S seconds with the best plans so far.")
    ] = None,
    robust: Annotated[
        str | None,
        option("SHARE", "Rank by the worst case: bandwidth between nodes lower by SHARE."),
    ] = None,
    output: Annotated[str | None, option("FILE", "Write the plans to FILE as JSON.")] = None,
    json: Json = False,
) -> None:
    """Find the best plans for a model on a cluster.

    Exit code 0: plans were found; 1: nothing fits; 2: bad input.
    """
    count = values.whole("--top", top, most=ranges.MOST_PLANS)
    limit_s = values.duration_s("--time-limit", time_limit)
    slower = values.share("--robust", robust, below=1.0)
    check_writable(output)

    from planner.plan_document import record_inputs, to_document, to_text
    from planner.training.search.space.restrictions import parse_restrictions

    restrictions = parse_restrictions(asdict(restrict))
    scenario = scenario_from_options(inputs, workload)

    from planner.training.search.search import search as run_search

    with ProgressLine() as line:
        run = partial(
            run_search,
            restrictions=restrictions,
            top=count or 1,
            time_limit_s=limit_s,
            progress=line.update,
        )
        if slower is None:
            result = run(scenario)
        else:
            from planner.training.search.robust import search_worst_case

            result = search_worst_case(scenario, slower, run)
    recorded = record_inputs(scenario.cluster, scenario.model, scenario.job)
    if output is not None or json:
        text = to_text(to_document(recorded, result.plans, search=result))
        if output is not None and (result.plans or result.stopped == "proven"):
            write_file(output, text)
        if json:
            write_stdout(text)
    if not json:
        from planner.reports.console import show
        from planner.reports.nothing import nothing_report
        from planner.reports.search import search_report

        report = search_report if result.plans else nothing_report
        show(report(recorded, result))
    if result.stopped == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if not result.plans:
        raise typer.Exit(NOTHING_FITS)
