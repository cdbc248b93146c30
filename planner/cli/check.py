"""`planner check`: may this plan be launched?"""

from typing import Annotated

import typer

from planner.cli import values
from planner.cli.inputs import scenario_from_options
from planner.cli.options import InputOptions, Json, WorkloadOptions, option
from planner.cli.output import write_stdout
from planner.cli.progress import ProgressLine

FAILED, INTERRUPTED = 1, 130
WIDEST_WITHIN = 100.0


def check(
    inputs: InputOptions,
    plan: Annotated[
        str,
        typer.Argument(metavar="FILE[#RANK]", help="A plan of a plan file.", show_default=False),
    ],
    within: Annotated[
        str, option("SHARE", "How much slower than the best plan it may be. [default: 10%]")
    ] = "10%",
    json: Json = False,
) -> None:
    """Check that a plan fits and is close to the best one. One line, for pipelines.

    Exit code 0: it is fine; 1: it is not, with the reason; 2: bad input.
    """
    limit = values.share("--within", within, below=WIDEST_WITHIN)

    from planner.plan_document import read_plan

    read = read_plan(plan)
    scenario = scenario_from_options(
        inputs,
        WorkloadOptions(),
        recorded=read.inputs.job,
        devices=read.plan.degrees.devices,
    )

    from planner.checks.launch import does_not_fit, judge
    from planner.estimate import estimate
    from planner.search.build import check_plan
    from planner.search.search import search

    check_plan(scenario, read.plan)
    cost = estimate(scenario, read.plan)
    verdict = does_not_fit(read.plan, cost)
    if verdict is None:
        with ProgressLine() as line:
            result = search(scenario, top=1, progress=line.update)
        if result.stopped == "interrupted":
            raise KeyboardInterrupt
        best = result.plans[0] if result.plans else None
        verdict = judge(read.plan, cost, best, within=limit or 0.0)
    if json:
        from planner.plan_document import to_text

        write_stdout(to_text(verdict.as_document()))
    else:
        write_stdout(f"{verdict.line}\n")
    if not verdict.passed:
        raise typer.Exit(FAILED)
