"""Memory and time of one plan, and the timeline of its step."""

from __future__ import annotations

from dataclasses import fields
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from planner.api.answers import PricedPlan
from planner.api.decisions import decisions_of, layout_of, name_of, refuse_decisions, refuse_script
from planner.api.effects import check_model_options, check_plan_options
from planner.api.inputs import load_cluster, load_model
from planner.api.keywords import EstimateKeywords, takes
from planner.api.plans import GivenPlan
from planner.api.scenarios import AskedJob
from planner.errors import InputError
from planner.importers.launch_file import is_launch
from planner.plan import RankedPlan
from planner.plan_document import record_inputs
from planner.training.estimate import estimate as price
from planner.training.search.plans.build import plan_from_flags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Unpack

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.api.plans import PlanLike
    from planner.plan import Plan
    from planner.plan_document import ReadPlan
    from planner.training.scenario import Scenario
    from planner.training.search.space.restrictions import Restrictions


@takes(EstimateKeywords)
def estimate(
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    *,
    plan: PlanLike | None = None,
    note: Callable[[str], None] | None = None,
    **options: Unpack[EstimateKeywords],
) -> PricedPlan:
    """Memory and time of one plan, whether it fits or not.

    The plan is what the axes say, one value each; or `plan`: a plan of a file, a plan that was
    found, a plan value, or a launch script or DeepSpeed configuration, which the axes fill in. Of
    the job, what no keyword says comes from the plan, then from the model. `model` may be left out
    where a launch script states it, and with `cluster` where a plan comes with those it was made
    for. `note` is called with a line for anything that is neither
    answer nor error, such as a flag of a script that a plan has no field for.

    Raises: InputError, RuleError for a plan that cannot run, with its place where a file states it.

    >>> from planner import api
    >>> slow = api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8, recompute="full")
    >>> fast = api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8, recompute="none")
    >>> slow.estimate.step_s > fast.estimate.step_s
    True
    """
    if isinstance(plan, str | Path) and is_launch(str(plan)):
        from planner.api.launches import read_launch, say_notes

        launched = read_launch(plan, _given(cluster), model, **options)
        say_notes(launched, note)
        launched.check()
        return _priced(launched.scenario, launched.plan)
    refuse_script(options, name_of(plan))
    if plan is None:
        return _priced(*_of_axes(_given(cluster), _needed(model), options))
    refuse_decisions(options, plan)
    asked, given = AskedJob.of(options), GivenPlan.of(plan)
    if given.plan.chooses_modules and asked.settings.modules_stated:
        raise InputError(
            f"--recompute-modules, --offload-modules: {name_of(plan)} chooses its own modules",
            hint="leave them out, or give the other decisions as options",
        )
    scenario = given.scenario(given.cluster(cluster), given.model(model), asked)
    given.check(scenario)
    priced = _priced(scenario, given.plan)
    if given.read is not None and note is not None:
        for line in _changes(given.read, scenario):
            note(line)
    return priced


def timeline(priced: PricedPlan) -> str:
    """A step of the plan pass by pass, as the text of a trace that ui.perfetto.dev opens.

    >>> from planner import api
    >>> priced = api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=4, pipeline=2)
    >>> "traceEvents" in api.timeline(priced)
    True
    """
    from planner.training.timeline import step_timeline, trace_text

    return trace_text(step_timeline(priced.scenario, priced.plan))


def _priced(scenario: Scenario, plan: Plan) -> PricedPlan:
    ranked = RankedPlan(rank=1, plan=plan, estimate=price(scenario, plan))
    return PricedPlan(scenario=scenario, ranked=ranked)


def _given(cluster: ClusterLike | None) -> ClusterLike:
    if cluster is None:
        raise InputError("--cluster is missing", hint="a plan file alone records its own")
    return cluster


def _needed(model: ModelLike | None) -> ModelLike:
    if model is None:
        raise InputError("--model is missing", hint="a Megatron-LM script states its own")
    return model


def _of_axes(
    cluster: ClusterLike, model: ModelLike, options: EstimateKeywords
) -> tuple[Scenario, Plan]:
    layout, decisions = layout_of(options), decisions_of(options)
    asked = AskedJob.of(options).filled(AskedJob(devices=_devices(decisions)))
    loaded = load_model(model)
    check_model_options(loaded, asked.settings, asked.expert_imbalance)
    scenario = asked.scenario(load_cluster(cluster), loaded, hosts=layout.get("hosts") or ())
    plan = plan_from_flags(scenario, decisions, **layout)
    check_plan_options(plan, asked.settings)
    return scenario, plan


def _devices(decisions: Restrictions) -> int | None:
    """Devices that the degrees add up to when they name the replicas; otherwise the replicas follow
    from the devices."""
    if decisions.data is None:
        return None
    axes = (decisions.tensor, decisions.pipeline, decisions.data, decisions.context)
    return prod(axis[0] for axis in axes if axis is not None)


_ABOUT_FILES = ("headroom", "software_sha256", "software_path")
"""Fields of a recorded job that may differ without a note."""


def _changes(read: ReadPlan, scenario: Scenario) -> Iterator[str]:
    """Inputs that the plan of a file was made for, and that differ from those of the estimate."""
    now = record_inputs(scenario.cluster, scenario.model, scenario.job)
    for kind in ("cluster", "model"):
        then, current = getattr(read.inputs, kind), getattr(now, kind)
        if then.sha256 != current.sha256:
            yield f"{read.place} was made for another {kind} file: {then.name}"
    for field in fields(read.inputs.job):
        then, current = (getattr(job, field.name) for job in (read.inputs.job, now.job))
        if then != current and field.name not in _ABOUT_FILES:
            yield f"{read.place} was made for {field.name.replace('_', ' ')} {then}, not {current}"
