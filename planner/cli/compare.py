"""`planner compare`: plans side by side."""

from typing import Annotated

import typer

from planner import api
from planner.cli import values
from planner.cli.decisions import PlanOptions
from planner.cli.inputs import axis_keywords, job_keywords, script_keywords
from planner.cli.options import CheckedInputs, Json, ScriptOptions, WorkloadOptions, option
from planner.cli.output import note, write_stdout
from planner.cli.progress import ProgressLine
from planner.cli.serving import compare_serving, is_serving_plan


def compare(
    inputs: CheckedInputs,
    workload: WorkloadOptions,
    decisions: PlanOptions,
    script: ScriptOptions,
    plans: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE[#RANK]|best...",
            help="Plans of plan files, launch scripts, or the word best: search for the best plan.",
            show_default=False,
        ),
    ],
    time_limit: Annotated[
        str | None, option("S", "Stop the search for the best after S seconds.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare plans with the first one: what differs, what each difference costs or saves, and
    whether a checkpoint of the first one still loads. Of serving plans: what differs in their
    pools, and what they do.

    Exit code 0: compared; 1: best found no plan that fits; 2: bad input.
    """
    limit_s = values.duration_s("--time-limit", time_limit)
    if any(map(is_serving_plan, plans)):
        others = (workload, decisions, script, {"headroom": inputs.headroom, "time_limit": limit_s})
        compare_serving(plans, inputs.cluster, inputs.model, others, json=json)
        return
    with ProgressLine(limit_s=limit_s) as line:
        found = api.compare(
            *plans,
            cluster=inputs.cluster,
            model=inputs.model,
            time_limit_s=limit_s,
            progress=line.update,
            note=note,
            **axis_keywords(decisions),
            **job_keywords(inputs.headroom, workload),
            **script_keywords(script),
        )
    if json:
        write_stdout(api.to_text(found))
        return
    from planner.reports.comparison import comparison_report
    from planner.reports.console import show

    show(
        comparison_report(
            found.sides,
            decisions=found.decisions,
            time=found.time,
            memory=found.memory,
            checkpoints=found.checkpoints,
            flags=[(one.diff, one.problem) for one in found.flags],
        )
    )
