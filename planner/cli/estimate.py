"""`planner estimate`: memory and time of one plan."""

from typing import Annotated

import typer

from planner import api
from planner.cli.decisions import LayoutOptions, PlanOptions
from planner.cli.inputs import (
    axis_keywords,
    job_keywords,
    layout_keywords,
    read_cluster,
    script_keywords,
)
from planner.cli.options import EstimatedInputs, Json, ScriptOptions, WorkloadOptions, option
from planner.cli.options_serving import ServingOptions
from planner.cli.output import note, write_stdout
from planner.cli.serving import (
    estimate_serving_plan,
    is_serving_plan,
    refuse_serving,
    refuse_training,
)
from planner.cli.values import whole
from planner.errors import InputError
from planner.specs import ranges
from planner.specs.files.writing import check_writable, write_file

DOES_NOT_FIT = 1


def estimate(
    inputs: EstimatedInputs,
    workload: WorkloadOptions,
    decisions: PlanOptions,
    layout: LayoutOptions,
    script: ScriptOptions,
    served: ServingOptions,
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
    With --serving the plan is one replica of an engine, and the estimate is of its latencies.

    Exit code 0: it fits; 1: it does not fit, or does not keep up with the load or its limits;
    2: bad input.
    """
    if served.serving is not None:
        others = {"plan": plan, "timeline": timeline, "headroom": inputs.headroom}
        refuse_training(workload, decisions, layout, script, others, but=_SERVED)
        _estimate_serving(inputs, decisions, served, json)
        return
    refuse_serving(served)
    if plan is not None and is_serving_plan(plan):
        others = {"timeline": timeline, "headroom": inputs.headroom}
        refuse_training(workload, decisions, layout, script, others, but=())
        missed = estimate_serving_plan(inputs, plan, json=json)
        if missed:
            raise typer.Exit(DOES_NOT_FIT)
        return
    check_writable(timeline, option="--timeline")
    priced = api.estimate(
        None if inputs.cluster is None else read_cluster(inputs.cluster),
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


_SERVED = ("tensor", "pipeline", "expert")
"""Options of a plan that a serving replica has too."""


def _estimate_serving(
    inputs: EstimatedInputs, decisions: PlanOptions, served: ServingOptions, json: bool
) -> None:
    if inputs.cluster is None or inputs.model is None or served.serving is None:
        raise InputError("--serving needs a --cluster and a --model")
    degrees = {
        name: whole(f"--{name.replace('_', '-')}", text, most=ranges.MOST_DEVICES) or 1
        for name, text in (
            ("tensor", decisions.tensor),
            ("pipeline", decisions.pipeline),
            ("expert", decisions.expert),
            ("attention_data", served.attention_data),
        )
    }
    stated = {"engine": served.engine, "weights": served.weights, "kv_format": served.kv_format}
    words = {name: text for name, text in stated.items() if text is not None}
    cluster = read_cluster(inputs.cluster)
    priced = api.estimate_serving(cluster, inputs.model, served.serving, **degrees, **words)  # type: ignore[arg-type]
    if json:
        write_stdout(api.to_text(priced))
    else:
        from planner.reports.console import show
        from planner.reports.serving_estimate import serving_estimate_report

        show(
            serving_estimate_report(
                priced.scenario,
                priced.memory,
                priced.estimate,
                priced.intensity,
                ranges=priced.ranges,
                missed=priced.missed,
                changes=priced.changes,
                assumptions=priced.assumptions,
            )
        )
    if priced.missed or not priced.fits or not priced.keeps_up:
        raise typer.Exit(DOES_NOT_FIT)
