"""`planner replan`: a running job after nodes were lost or became slow."""

from typing import Annotated

import typer

from planner import api
from planner.cli import values
from planner.cli.options import CheckedInputs, Json, option
from planner.cli.output import write_stdout
from planner.specs import ranges
from planner.specs.files.writing import check_writable, write_file


def replan(
    inputs: CheckedInputs,
    plan: Annotated[
        str,
        typer.Argument(
            metavar="FILE[#RANK]", help="The plan of the running job.", show_default=False
        ),
    ],
    lost: Annotated[
        str | None, option("HOST,...", "Nodes that are gone, ranges included: node-[3-7].")
    ] = None,
    slow: Annotated[
        str | None,
        option(
            "HOST:SHARE,...",
            "What is slow: node-3:0.6 its devices, node-3/node-7:0.5 a link, node-3/*:0.5 all "
            "links of a node.",
        ),
    ] = None,
    health: Annotated[
        str | None,
        option(
            "FILE,...",
            "Reports of the site: scontrol show node, sinfo, or a CSV matrix of bandwidths.",
        ),
    ] = None,
    spares: Annotated[
        str | None,
        option("N", "Spare nodes outside the cluster. [default: as the cluster file says, or 0]"),
    ] = None,
    hours_left: Annotated[
        str | None, option("H", "Hours that the job still has: ranks by the tokens of that time.")
    ] = None,
    take: Annotated[
        str | None,
        option(
            "WAY",
            "What --output writes: keep, swap, drop, drop-batch, shift, search or search-batch. "
            "[default: the best with the same batch]",
        ),
    ] = None,
    time_limit: Annotated[str | None, option("S", "Stop searching after S seconds.")] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write the plan to FILE.")
    ] = None,
    json: Json = False,
) -> None:
    """Go on after nodes were lost or became slow: what a running job can go on with.

    Exit code 0: a plan fits; 1: none does, or the reports show nothing wrong; 2: bad input.
    """
    from planner.replan.option import WAYS

    ranges.word("--take", take, WAYS)
    check_writable(output)
    found = api.replan(
        plan,
        cluster=inputs.cluster,
        model=inputs.model,
        lost=lost or (),
        slow=slow or (),
        health=() if health is None else values.paths("--health", health),
        spares=values.whole("--spares", spares, most=ranges.MOST_NODES, least=0),
        hours_left=values.hours("--hours-left", hours_left),
        headroom=values.share("--headroom", inputs.headroom, below=1.0),
        time_limit_s=values.duration_s("--time-limit", time_limit),
    )
    options = found.found.options
    chosen = found.option(take) if take is not None or found.fits else None
    if output is not None and chosen is not None:
        write_file(output, api.to_text(found.plan(take)))
    if json:
        write_stdout(api.to_text(found))
    else:
        from planner.reports.console import show
        from planner.reports.replan import replan_report

        show(replan_report(found.found, chosen, found.findings))
    if not options or chosen is None:
        raise typer.Exit(1)
