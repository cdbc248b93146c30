"""From a measured run to the scenario and plan that are estimated in its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import RuleError
from planner.plan import Degrees, Plan, Recompute
from planner.schedule.registry import PLAIN, kind_of
from planner.specs.software import SoftwareProfile
from planner.training.scenario import build_scenario
from planner.training.search.hosts.placement import default_placement
from planner.training.search.layouts.default import balanced_layers, stages_of, uniform_layers
from planner.training.search.plans.build import plan_values
from planner.training.search.space.codes import code_of
from planner.training.search.space.defaults import expert_defaults
from planner.training.search.space.facts import SpaceFacts
from planner.training.search.space.restrictions import Restrictions
from planner.training.search.space.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.plan import Stage
    from planner.specs.runs.spec import Run
    from planner.training.scenario import Scenario

WAIVED = frozenset(
    {
        "layers",
        "chunks",
        "batch",
        "framework",
        "sharded-pipeline",
        "order",
        "vpp-sends",
        "expert-bias",
        "graphs",
        "dispatcher-devices",
        "dispatcher-reach",
        "dispatcher-ranks",
        "expert-overlap",
        "expert-overlap-stages",
        "expert-overlap-recompute",
        "sharded-in-groups",
        "optimizer-offload",
        "optimizer-offload-share",
        "weight-offload",
        "activation-offload",
        "offload-together",
    }
)
"""Rules a measured run may break: it ran, on a fork or with a layout the rule does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """A run as the planner understands it. `assumptions` are those made here, about what the run
    leaves open."""

    scenario: Scenario
    plan: Plan
    assumptions: tuple[str, ...]


def plan_run(run: Run) -> PlannedRun:
    """What the run states, over its software profile's defaults.

    Raises: RuleError for an unknown schedule or a combination that cannot be cut as stated,
    InputError when the cluster does not hold the run.
    """
    assumptions: list[str] = [*run.assumptions]
    software = _software(run, assumptions)
    scenario = build_scenario(run.cluster, run.model, replace(run.job, software=software))
    known = run.cluster.assumptions
    assumptions += [said for said in scenario.cluster.assumptions if said not in known]
    pipeline = run.degrees.pipeline
    virtual_stages = _chunks(run, software) if pipeline > 1 else 1
    granularity = run.recompute or software.recompute.default
    schedule = _schedule(run, software, virtual_stages)
    stages = _stages(run, scenario, virtual_stages, schedule, assumptions)
    degrees = Degrees(
        tensor=run.degrees.tensor,
        pipeline=pipeline,
        data=run.degrees.data,
        context=run.degrees.context,
        expert=run.degrees.expert,
        expert_tensor=run.degrees.expert_tensor,
    )
    micro_batch_size = _micro_batch_size(run, assumptions)
    wanted = software.sequence_parallel if run.sequence_parallel is None else run.sequence_parallel
    facts = SpaceFacts.of(scenario, Restrictions(recompute=(granularity,)))
    experts = expert_defaults(
        facts,
        software,
        {
            "expert": degrees.expert,
            "expert_tensor": degrees.expert_tensor,
            "pipeline": pipeline,
            "virtual_stages": virtual_stages,
            "schedule": schedule,
            "recompute": granularity,
            **({} if run.dispatcher is None else {"dispatcher": run.dispatcher}),
        },
    )
    plan = Plan(
        degrees=degrees,
        micro_batch_size=micro_batch_size,
        num_microbatches=_microbatches(run, micro_batch_size, assumptions),
        schedule=schedule,
        virtual_stages=virtual_stages,
        sequence_parallel=wanted and degrees.tensor > 1,
        data_sharding=run.data_sharding or software.data_sharding.default,
        recompute=Recompute(
            granularity=granularity,
            layers_per_stage=_recomputed(run, granularity, stages),
        ),
        stages=stages,
        placement=default_placement(scenario, degrees),
        dispatcher=str(experts["dispatcher"]) if degrees.expert > 1 else None,
        expert_overlap=bool(experts["expert_overlap"]),
        shard_over=_shard_over(run),
        optimizer_offload=run.optimizer_offload,
        weight_offload=run.weight_offload,
        activation_offload=run.activation_offload,
    )
    _check(facts, plan_values(scenario, plan))
    return PlannedRun(scenario=scenario, plan=plan, assumptions=tuple(assumptions))


def _software(run: Run, assumptions: list[str]) -> SoftwareProfile:
    """The run's software profile with what the run switched."""
    stated = {
        "attention": run.attention,
        "compile": run.compile,
        "overlap": run.overlap,
        "launch_blocking": run.launch_blocking,
    }
    switched: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
    for name in [name for name in switched if name not in SoftwareProfile.model_fields]:
        assumptions.append(f"run: {name} {switched.pop(name)} is not modelled")
    software = run.job.software
    if run.recompute_modules is not None:
        modules = {"selective_modules": run.recompute_modules}
        switched["recompute"] = software.recompute.model_copy(update=modules)
    if run.eight_bit_output is not None:
        formats = (run.job.precision,) if run.eight_bit_output else ()
        switched["fp8"] = software.fp8.model_copy(update={"output_layer": formats})
    if run.dispatcher is not None:
        chosen = {"dispatcher": run.dispatcher, "deduplicated": False}
        switched["expert"] = software.expert.model_copy(update=chosen)
    return software.model_copy(update=switched)


def _shard_over(run: Run) -> int | None:
    size, replicas = run.optimizer_shard_size, run.degrees.data * run.degrees.context
    return size if size is not None and size < replicas else None


def _chunks(run: Run, software: SoftwareProfile) -> int:
    """As many as the run states, or as its framework makes where the schedule needs several."""
    unstated = software.schedules.unstated_chunks
    if run.schedule is None or run.virtual_stages > 1 or unstated is None:
        return run.virtual_stages
    alone = kind_of(run.schedule).may_have(run.degrees.pipeline, 1)
    return run.virtual_stages if alone else unstated


def _schedule(run: Run, software: SoftwareProfile, virtual_stages: int) -> str:
    if run.degrees.pipeline == 1:
        return PLAIN
    if run.schedule is None:
        return software.schedules.default_for(virtual_stages)
    return kind_of(run.schedule).name


def _stages(
    run: Run, scenario: Scenario, virtual_stages: int, schedule: str, assumptions: list[str]
) -> tuple[Stage, ...]:
    pipeline, kind = run.degrees.pipeline, kind_of(schedule)
    chunks = pipeline * virtual_stages // kind.parameter_copies
    layers = run.stage_layers
    if layers is None and kind.balances_head:
        layers = balanced_layers(scenario, chunks)
        assumptions.append(f"run: layers balanced by FLOPs, {','.join(map(str, layers))}")
    elif layers is None:
        layers = uniform_layers(run.model.num_layers, chunks)
        rest = run.model.num_layers % chunks
        if rest:
            assumptions.append(
                f"run: {run.model.num_layers} layers on {chunks} chunks, the {rest} left over one "
                "each on the middle chunks"
            )
    if len(layers) != chunks:
        layers = (sum(layers),)
    return stages_of(layers, pipeline, virtual_stages, schedule)


def _micro_batch_size(run: Run, assumptions: list[str]) -> int:
    """Sequences that pass through the pipeline together, where a profile's runs state the batch of
    a replica (`SoftwareProfile.pipeline_cuts_micro_batch`)."""
    pipeline, stated = run.degrees.pipeline, run.micro_batch_size
    if not run.job.software.pipeline_cuts_micro_batch or pipeline == 1 or stated == 1:
        return stated
    cut = max(1, stated // pipeline)
    assumptions.append(f"run: a local batch of {stated} passes the pipeline {cut} at a time")
    return cut


def _microbatches(run: Run, micro_batch_size: int, assumptions: list[str]) -> int:
    """Microbatches of a step; the last may be smaller, as some frameworks allow."""
    data, batch = run.degrees.data, run.job.global_batch_size
    if batch % data:
        raise RuleError("batch", f"data degree {data} does not divide the global batch of {batch}")
    sequences = batch // data
    if sequences % micro_batch_size:
        assumptions.append(
            f"run: {sequences} sequences of a replica in microbatches of {micro_batch_size}, "
            "the last one smaller and priced like the others"
        )
    return -(-sequences // micro_batch_size)


def _recomputed(run: Run, granularity: str, stages: tuple[Stage, ...]) -> tuple[int, ...]:
    if granularity != "full":
        return (0,) * len(stages)
    most = run.model.num_layers if run.recompute_layers is None else run.recompute_layers
    return tuple(min(most, stage.num_layers) for stage in stages)


def _check(facts: SpaceFacts, values: Mapping[str, Any]) -> None:
    """Raises RuleError for the first rule broken that no framework can do without."""
    row = {axis: np.array([code_of(axis, value)], dtype=np.int64) for axis, value in values.items()}
    for rule in RULES:
        if rule.search_only or rule.name in WAIVED:
            continue
        if not rule.holds(facts, row).all():
            found = ", ".join(f"{axis} {values[axis]}" for axis in rule.axes)
            raise RuleError(rule.name, f"{rule.says(facts)}; found {found}")
