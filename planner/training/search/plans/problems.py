"""Finds what keeps a given plan from running in a scenario: every reason, with its name and the
field of the plan that it concerns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner.errors import InputError, RuleError
from planner.plan import recomputed_per_chunk
from planner.schedule.registry import SCHEDULES, kind_of
from planner.training.search.hosts.placement import check_hosts
from planner.training.search.layouts.default import check_layers, layers_of_chunks, stages_of
from planner.training.search.space.broken import broken_rules
from planner.training.search.space.codes import code_of
from planner.training.search.space.facts import SpaceFacts
from planner.training.search.space.restrictions import NUMBER_AXES, Restrictions, unoffered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.plan import Plan
    from planner.training.scenario import Scenario

DEGREES = NUMBER_AXES[:6]
"""The axes of `Degrees`."""
BEYOND_THE_FRAMEWORK = (
    "devices",
    "global-batch",
    "rank-order",
    "offered",
    "stage-layout",
    "recompute-layers",
    "hosts",
    "precision",
)
"""Names of problems that are not rules of `planner.training.search.space.rules`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanProblem:
    """One reason why a plan cannot run. `name` is that of a framework rule or one of
    `BEYOND_THE_FRAMEWORK`; `field` is a path in the plan's JSON, such as degrees.tensor, or in its
    document, such as inputs.job."""

    name: str
    field: str
    error: InputError | RuleError


def check_plan(scenario: Scenario, plan: Plan) -> None:
    """Raises InputError or RuleError when the plan does not belong to the scenario or breaks a
    rule of the framework."""
    for problem in plan_problems(scenario, plan):
        raise problem.error


def plan_problems(scenario: Scenario, plan: Plan) -> tuple[PlanProblem, ...]:
    """Everything that keeps the plan from running, one problem of each name. Mere consequences of
    another problem are left out."""
    try:
        scenario = scenario.treating(plan.recompute_modules, plan.offload_modules)
    except InputError as error:
        return (PlanProblem(name="offered", field="recompute", error=error),)
    found = [
        *_devices(scenario, plan),
        *_precision(scenario),
        *_batch(scenario, plan),
        *_rank_order(scenario, plan),
        *_rules(scenario, plan),
        *_layout(scenario, plan),
        *_hosts(scenario, plan),
    ]
    by_name = {problem.name: problem for problem in reversed(found)}
    model = scenario.model
    if "batch" in by_name:
        by_name.pop("global-batch", None)
        by_name.pop("vpp-mb", None)
        if kind_of(plan.schedule).may_have(plan.degrees.pipeline, plan.virtual_stages):
            by_name.pop("vpp", None)
    if "heads" in by_name and model.num_query_groups == model.num_attention_heads:
        by_name.pop("kv", None)
    return tuple(problem for problem in found if by_name.get(problem.name) is problem)


def plan_values(scenario: Scenario, plan: Plan) -> dict[str, int | float | str | bool]:
    """The combination that a plan was made from."""
    dispatcher = plan.dispatcher or scenario.job.software.expert.dispatcher_options[0]
    chosen = {axis: value for axis, value in plan.choices.items() if value is not None}
    return {**chosen, "dispatcher": dispatcher}


def field_of(axis: str) -> str:
    """The path of a search axis in the plan's JSON."""
    if axis in DEGREES:
        return f"degrees.{axis}"
    return "recompute.granularity" if axis == "recompute" else axis


def _devices(scenario: Scenario, plan: Plan) -> Iterator[PlanProblem]:
    devices = plan.degrees.devices
    if devices != scenario.job.devices:
        error = InputError(f"the plan is for {devices} devices, the job has {scenario.job.devices}")
        yield PlanProblem(name="world", field="degrees", error=error)


def _precision(scenario: Scenario) -> Iterator[PlanProblem]:
    for device in scenario.device_types:
        try:
            device.peak(scenario.job.precision)
        except RuleError as error:
            yield PlanProblem(name="precision", field="inputs.job.precision", error=error)


def _batch(scenario: Scenario, plan: Plan) -> Iterator[PlanProblem]:
    replicas, batch = plan.degrees.data, scenario.job.global_batch_size
    together = plan.micro_batch_size * replicas
    made = plan.num_microbatches * together
    uneven = scenario.job.software.uneven_replicas and batch % plan.micro_batch_size == 0
    needed = scenario.job.microbatches(together) if uneven else batch / together
    if plan.num_microbatches != needed:
        error = InputError(
            f"{plan.num_microbatches} microbatches of {plan.micro_batch_size} on {replicas} "
            f"replicas make {made} sequences, the global batch has {batch}"
        )
        yield PlanProblem(name="global-batch", field="num_microbatches", error=error)


def _rank_order(scenario: Scenario, plan: Plan) -> Iterator[PlanProblem]:
    software = scenario.job.software
    if plan.placement.order != software.rank_order:
        error = InputError(
            f"placement: rank order {plan.placement.order!r}; software profile "
            f"{software.name} uses {software.rank_order}"
        )
        yield PlanProblem(name="rank-order", field="placement.order", error=error)


def _rules(scenario: Scenario, plan: Plan) -> Iterator[PlanProblem]:
    values = plan_values(scenario, plan)
    chosen = Restrictions(
        **{axis: (value,) for axis, value in values.items()}  # type: ignore[arg-type]
    )
    with_effect = chosen if plan.degrees.tensor > 1 else replace(chosen, sequence_parallel=None)
    for axis, message, hint in unoffered(with_effect, scenario.job.software):
        error = InputError(f"{axis.replace('_', ' ')}: {message}", hint=hint)
        yield PlanProblem(name="offered", field=field_of(axis), error=error)
    if plan.schedule not in SCHEDULES:
        return
    codes = {axis: code_of(axis, value) for axis, value in values.items()}
    for rule, broken in broken_rules(SpaceFacts.of(scenario, chosen), codes):
        yield PlanProblem(name=rule.name, field=field_of(rule.adjusts), error=broken)


def _layout(scenario: Scenario, plan: Plan) -> Iterator[PlanProblem]:
    if plan.schedule not in SCHEDULES:
        return
    try:
        _check_stages(scenario, plan)
    except RuleError as error:
        yield PlanProblem(name=error.rule, field="stages", error=error)
    except InputError as error:
        yield PlanProblem(name="stage-layout", field="stages", error=error)
        return
    try:
        _check_recompute(scenario, plan)
    except InputError as error:
        yield PlanProblem(name="recompute-layers", field="recompute.layers_per_stage", error=error)


def _hosts(scenario: Scenario, plan: Plan) -> Iterator[PlanProblem]:
    try:
        check_hosts(scenario, plan.placement.hosts)
    except InputError as error:
        yield PlanProblem(name="hosts", field="placement.hosts", error=error)


def _check_stages(scenario: Scenario, plan: Plan) -> None:
    """Checks that the stages match the layers of their chunks, taken in virtual-stage order."""
    pipeline, chunks = plan.degrees.pipeline, plan.virtual_stages
    if len(plan.stages) != pipeline or any(len(s.chunks) != chunks for s in plan.stages):
        raise InputError(
            f"the plan lists {len(plan.stages)} stages of "
            f"{'/'.join(sorted({str(len(s.chunks)) for s in plan.stages}))} chunks; "
            f"pipeline {pipeline} with {chunks} virtual stages has {pipeline} of {chunks}"
        )
    kind = kind_of(plan.schedule)
    if not kind.may_have(pipeline, chunks):
        return
    layers = layers_of_chunks(plan)
    check_layers(scenario, layers)
    if stages_of(layers, pipeline, chunks, plan.schedule) != plan.stages:
        raise InputError(
            "the plan's stages do not hold the layers in the order in which schedule "
            f"{plan.schedule} visits them ({kind.placement(pipeline, chunks).name} placement), "
            "with the embedding and the head where the model begins and ends"
        )


def _check_recompute(scenario: Scenario, plan: Plan) -> None:
    pipeline, given = plan.degrees.pipeline, plan.recompute.layers_per_stage
    software = scenario.job.software
    full = plan.recompute.granularity == "full"
    if len(given) != pipeline or (any(given) and not full):
        raise InputError(
            f"recompute {plan.recompute.granularity}: layers_per_stage must have {pipeline} "
            f"entries{'' if full else ', all 0'}; found {list(given)}"
        )
    for stage, count in zip(plan.stages, given, strict=True):
        if not 0 <= count <= stage.num_layers:
            raise InputError(
                f"stage {stage.index} recomputes {count} layers of the {stage.num_layers} it has"
            )
    if full and not software.recompute.partial:
        partial = [stage for stage, count in zip(plan.stages, given, strict=True)
                   if count < stage.num_layers]  # fmt: skip
        if partial:
            raise InputError(
                f"stage {partial[0].index} recomputes some of its {partial[0].num_layers} layers; "
                f"{software.framework} recomputes all or none"
            )
    if recomputed_per_chunk(plan.stages, given) is None:
        counts = ", ".join(str(count) for count in given)
        raise InputError(
            f"recompute: layers per stage {counts} are not the first n layers of every chunk, for "
            "any n; the framework takes one number for all chunks"
        )
