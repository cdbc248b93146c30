"""`planner improve`: a better plan, as changes of a launch script."""

from typing import Annotated

import typer

from planner import api
from planner.cli import values
from planner.cli.inputs import job_keywords, read_cluster, script_keywords
from planner.cli.options import Json, LaunchInputOptions, ScriptOptions, WorkloadOptions, option
from planner.cli.output import note, write_stdout
from planner.cli.progress import ProgressLine


def improve(
    inputs: LaunchInputOptions,
    workload: WorkloadOptions,
    script: ScriptOptions,
    path: Annotated[
        str,
        typer.Argument(
            metavar="SCRIPT",
            help="A launch script of Megatron-LM, or a DeepSpeed JSON.",
            show_default=False,
        ),
    ],
    write: Annotated[
        bool, typer.Option("--write", help="Change the script; without it, only print the changes.")
    ] = False,
    time_limit: Annotated[str | None, option("S", "Stop the search after S seconds.")] = None,
    json: Json = False,
) -> None:
    """Change a launch script to a better plan: print the changes as a unified diff, what they gain
    and how sure that is. Model, batch, devices, framework and all other flags stay.

    The changed script is read back, and what is promised is its estimate. What cannot be changed
    safely is refused, with its place.

    Exit code 0: done, or no better plan was found; 1: no plan fits; 2: bad input, or refused.
    """
    limit_s = values.duration_s("--time-limit", time_limit)
    with ProgressLine(limit_s=limit_s) as line:
        found = api.improve(
            path,
            read_cluster(inputs.cluster),
            inputs.model,
            time_limit_s=limit_s,
            progress=line.update,
            note=note,
            **job_keywords(inputs.headroom, workload),
            **script_keywords(script),
        )
    if write:
        found.write()
    if json:
        write_stdout(api.to_text(found))
        return
    from planner.reports.console import show
    from planner.reports.improvement import improvement_report

    show(
        improvement_report(
            found.now,
            found.then,
            gain=found.gain,
            gain_range=found.gain_range,
            decisions=() if found.comparison is None else found.comparison.decisions,
            checkpoint=None if found.comparison is None else found.comparison.checkpoints[0],
            look_at=found.look_at,
            left_out=found.left_out,
            written=write,
        )
    )
    if found.diff:
        write_stdout(f"\n{found.diff}")
