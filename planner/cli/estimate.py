"""`planner estimate`: memory and time of one plan."""

from typing import Annotated

import typer

from planner import api
from planner.cli.inputs import (
    axis_keywords,
    job_keywords,
    layout_keywords,
    read_cluster,
    script_keywords,
)
from planner.cli.options import (
    Json,
    LaunchInputOptions,
    LayoutOptions,
    PlanOptions,
    ScriptOptions,
    WorkloadOptions,
    option,
)
from planner.cli.output import note, write_stdout
from planner.specs.files.writing import check_writable, write_file

DOES_NOT_FIT = 1


def estimate(
    inputs: LaunchInputOptions,
    workload: WorkloadOptions,
    decisions: PlanOptions,
    layout: LayoutOptions,
    script: ScriptOptions,
    plan: Annotated[
        str | None,
        option(
            "FILE[#RANK]",
            "A plan of a plan file, a Megatron-LM launch script or a DeepSpeed JSON, instead of "
            "flags.",
        ),
    ] = None,
    timeline: Annotated[
        str | None,
        option("FILE", "Write the step pass by pass as a trace that ui.perfetto.dev opens."),
    ] = None,
    json: Json = False,
) -> None:
    """Estimate memory and time of one plan.

    The plan is given by flags, one value each, or read from a plan file or from what launches
    the job. A launch script states its model; flags fill in what a launch file leaves open.

    Exit code 0: it fits; 1: it does not fit; 2: bad input.
    """
    check_writable(timeline, option="--timeline")
    priced = api.estimate(
        read_cluster(inputs.cluster),
        inputs.model,
        plan=plan,
        note=note,
        **axis_keywords(decisions),
        **job_keywords(inputs.headroom, workload),
        **layout_keywords(layout),
        **script_keywords(script),
    )
    if timeline is not None:
        write_file(timeline, api.timeline(priced), option="--timeline")
    if json:
        write_stdout(api.to_text(priced))
    else:
        from planner.reports.console import show
        from planner.reports.estimate import estimate_report

        show(estimate_report(priced.inputs, priced.plan, priced.estimate))
    if not priced.fits:
        raise typer.Exit(DOES_NOT_FIT)
