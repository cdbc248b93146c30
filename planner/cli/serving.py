"""`planner search --serving`, and what commands refuse with it and without it."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from planner.cli import values
from planner.cli.inputs import read_cluster
from planner.cli.output import note, write_stdout
from planner.cli.progress import ServingLine
from planner.errors import InputError
from planner.specs import ranges
from planner.specs.files.writing import write_file
from planner.specs.model.context import longer_than_made_for

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from planner.cli.decisions import RestrictOptions
    from planner.cli.options import CheckedInputs, EstimatedInputs, InputOptions, WorkloadOptions
    from planner.cli.options_serving import ServingSearchOptions
    from planner.serving.search.result import ServingSearch

SERVED = ("tensor", "pipeline", "expert", "nodes", "devices")
"""Options of training that mean the same for serving."""


def refuse_training(*groups: Any, but: Collection[str] = SERVED) -> None:
    """Raises: InputError for an option that says nothing about serving."""
    for group in groups:
        given = group if isinstance(group, dict) else _given(group)
        for name, value in given.items():
            if value not in (None, False) and name not in but:
                raise InputError(f"--{name.replace('_', '-')} is for training, not for --serving")


def refuse_serving(served: Any) -> None:
    """Raises: InputError for an option of serving without a load."""
    for name, value in _given(served).items():
        if value is not None:
            raise InputError(f"--{name.replace('_', '-')} is for serving; it needs --serving")


def is_serving_plan(reference: str) -> bool:
    """Whether a plan is one of serving."""
    if not reference.partition("#")[0].endswith((".json", ".html")):
        return False
    from planner.plan_document.serving.kind import is_serving_document

    return is_serving_document(reference)


def estimate_serving_plan(inputs: EstimatedInputs, plan: str, *, json: bool) -> bool:
    """Whether the plan misses a limit of its load."""
    from planner import api

    cluster = None if inputs.cluster is None else read_cluster(inputs.cluster)
    priced = api.estimate_serving_plan(plan, cluster, inputs.model)
    if json:
        write_stdout(api.to_text(priced))
    else:
        from planner.reports.console import show
        from planner.reports.serving_search import serving_plan_report

        job = priced.job
        show(serving_plan_report(priced.offer, model=job.model, cluster=job.cluster.name))
    return bool(priced.offer.missed)


def compare_serving(
    plans: Sequence[str],
    cluster: str | None,
    model: str | None,
    others: Sequence[Any],
    *,
    json: bool,
) -> None:
    """Serving plans side by side. `others`: options of training."""
    from planner import api

    refuse_of_training(plans[0], *others)
    found = api.compare_serving(*plans, cluster=cluster, model=model)
    if json:
        write_stdout(api.to_text(found))
        return
    from planner.reports.console import show
    from planner.reports.serving_comparison import serving_comparison_report

    show(serving_comparison_report(found.sides))


def explain_serving_plan(
    plan: str, inputs: CheckedInputs, why_not: str | dict[str, str] | None, *, json: bool
) -> None:
    """What a serving plan's times hang on, and what would change them."""
    from planner import api

    with ServingLine(limit_s=None) as line:
        found = api.explain_serving(
            plan,
            cluster=inputs.cluster,
            model=inputs.model,
            why_not=why_not,
            progress=line.update_serving,
        )
    if json:
        write_stdout(api.to_text(found))
        return
    from planner.reports.console import show
    from planner.reports.serving_explanation import (
        served_otherwise,
        served_refused,
        serving_explanation_report,
    )

    asked, said = found.why_not, None
    if asked is not None and asked.comparison is not None:
        said = served_otherwise(asked.asked, asked.comparison.sides)
    elif asked is not None:
        said = served_refused(asked.asked, asked.refused or "")
    show(
        serving_explanation_report(
            found.priced.offer,
            mixture=found.priced.job.model.moe is not None,
            hardware=found.hardware,
            decisions=found.decisions,
            why_not=said,
        )
    )


def refuse_serving_plan(other: str, plan: str) -> None:
    """Raises: InputError for a serving plan beside a training plan."""
    if is_serving_plan(other):
        raise InputError(f"{other} holds serving plans; {plan} is a training plan")


def refuse_of_training(plan: str, *groups: Any) -> None:
    """Raises: InputError for an option of training plans beside a serving plan."""
    for group in groups:
        for name, value in (group if isinstance(group, dict) else _given(group)).items():
            if value not in (None, False):
                option = f"--{name.replace('_', '-')}"
                raise InputError(f"{option} is for training plans; {plan} holds serving plans")


def _given(group: Any) -> dict[str, Any]:
    return {field.name: getattr(group, field.name) for field in fields(group)}


def search_serving(
    inputs: InputOptions,
    workload: WorkloadOptions,
    restrict: RestrictOptions,
    served: ServingSearchOptions,
    *,
    top: int,
    limit_s: float | None,
    others: Mapping[str, Any],
    output: str | None,
    json: bool,
) -> ServingSearch:
    """What was found, which is written and shown."""
    refuse_training(workload, restrict, {"headroom": inputs.headroom, **others})
    from planner import api

    given = {**_given(restrict), **_given(served)}
    lists: dict[str, Any] = {
        name: values.wholes(f"--{name.replace('_', '-')}", given[name], most=ranges.MOST_DEVICES)
        for name in (
            "tensor",
            "pipeline",
            "attention_data",
            "expert",
            "max_running",
            "max_step_tokens",
        )
    }
    words: dict[str, Any] = {
        name: given[name] for name in ("engine", "objective") if given[name] is not None
    }
    run = api.search_serving
    with ServingLine(limit_s=limit_s) as line:
        found = run(
            read_cluster(inputs.cluster),
            inputs.model,
            given["serving"],
            top=top,
            time_limit_s=limit_s,
            nodes=values.whole("--nodes", workload.nodes, most=ranges.MOST_NODES),
            devices=values.whole("--devices", workload.devices, most=ranges.MOST_DEVICES),
            weights=served.weights,
            kv_format=served.kv_format,
            disaggregated=values.switch("--disaggregated", served.disaggregated),
            confidence=values.share("--confidence", served.confidence, below=1.0),
            progress=line.update_serving,
            **words,
            **lists,
        )
    load = found.job.load
    beyond = longer_than_made_for(found.job.model, load.input_tokens + load.output_tokens)
    if beyond is not None:
        note(f"requests of {beyond}: engines refuse them unless told otherwise")
    text = api.to_text(found)
    if output is not None and found.plans:
        write_file(output, text)
    if json:
        write_stdout(text)
    else:
        from planner.reports.console import show
        from planner.reports.serving_search import serving_search_report

        show(
            serving_search_report(
                found.search,
                model=found.job.model,
                cluster=found.job.cluster.name,
                currency=None
                if found.job.cluster.prices is None
                else found.job.cluster.prices.currency,
                slo=found.load.slo,
                assumptions=found.assumptions,
            )
        )
    return found.search
