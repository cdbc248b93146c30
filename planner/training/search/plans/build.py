"""Builds plans from combinations of a search and from command-line flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import InputError, RuleError
from planner.plan import Degrees, Plan, Recompute, recomputed_per_stage
from planner.schedule.registry import kind_of
from planner.training.search.hosts.placement import check_hosts, default_placement, placement_on
from planner.training.search.layouts.default import (
    check_chunks,
    check_layers,
    default_layers,
    stages_of,
)
from planner.training.search.plans.problems import check_plan, plan_values
from planner.training.search.space.broken import check_values
from planner.training.search.space.codes import code_of, sharing_ranks
from planner.training.search.space.defaults import expert_defaults
from planner.training.search.space.facts import SpaceFacts
from planner.training.search.space.restrictions import (
    NUMBER_AXES,
    SWITCH_AXES,
    Restrictions,
    check_choices,
    option_name,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan import Stage
    from planner.training.scenario import Scenario
    from planner.training.search.hosts.placement import PlacementChooser

__all__ = ["Values", "check_plan", "plan_from_flags", "plan_of", "plan_values"]

Values = Mapping[str, int | float | str | bool]
"""One value for every axis of the search space."""


def plan_of(
    scenario: Scenario,
    values: Values,
    stages: tuple[Stage, ...],
    recomputed_per_chunk: int,
    placement: PlacementChooser = default_placement,
) -> Plan:
    """The plan of one combination with its stage layout. `recomputed_per_chunk` is the number of
    fully recomputed layers; it is ignored unless recompute is "full"."""
    degrees = Degrees(
        **{axis: int(values[axis]) for axis in NUMBER_AXES[:6]},
    )
    micro_batch_size, recompute = int(values["micro_batch_size"]), str(values["recompute"])
    return Plan(
        degrees=degrees,
        micro_batch_size=micro_batch_size,
        num_microbatches=scenario.job.microbatches(micro_batch_size * degrees.data),
        schedule=str(values["schedule"]),
        virtual_stages=int(values["virtual_stages"]),
        sequence_parallel=bool(values["sequence_parallel"]) and degrees.tensor > 1,
        data_sharding=str(values["data_sharding"]),
        recompute=Recompute(
            granularity=recompute,
            layers_per_stage=recomputed_per_stage(
                stages, recomputed_per_chunk if recompute == "full" else 0
            ),
        ),
        stages=stages,
        placement=placement(scenario, degrees),
        dispatcher=str(values["dispatcher"]) if degrees.expert > 1 else None,
        expert_overlap=bool(values["expert_overlap"]),
        dispatch_pieces=int(values["dispatch_pieces"]),
        shard_over=_shard_over(scenario, values["shard_over"], degrees),
        optimizer_offload=float(values["optimizer_offload"]),
        weight_offload=bool(values["weight_offload"]),
        activation_offload=float(values["activation_offload"]),
    )


def _shard_over(
    scenario: Scenario, value: int | float | str | bool, degrees: Degrees
) -> int | None:
    """Ranks of a sharding group; None where all replicas are one."""
    code = np.array(code_of("shard_over", value))
    ranks = int(sharing_ranks(code, np.array(degrees.tensor), scenario.node_devices))
    return ranks if 0 < ranks < degrees.data * degrees.context else None


def plan_from_flags(
    scenario: Scenario,
    flags: Restrictions,
    *,
    stage_layers: Sequence[int] | None = None,
    recompute_layers: int | None = None,
    hosts: Sequence[str] | None = None,
) -> Plan:
    """The plan that flags describe, with one value each. Flags left out have defaults: degrees 1,
    except data, which takes the remaining devices; micro-batch size 1; for the rest those of the
    software profile. `stage_layers`: layers of every chunk in virtual-stage order.
    `recompute_layers`: per chunk, all of them by default.

    Raises: InputError for several values or a wrong layout, RuleError for a broken rule.
    """
    check_choices(flags, scenario.job.software)
    given = _single_values(flags)
    values = {**_defaults(scenario, given), **given}
    if "data" not in given:
        values["data"] = remaining_data(scenario, values)
    facts = SpaceFacts.of(scenario, flags)
    values |= expert_defaults(facts, scenario.job.software, values)
    check_values(facts, {axis: code_of(axis, v) for axis, v in values.items()})
    shape = int(values["pipeline"]), int(values["virtual_stages"]), str(values["schedule"])
    layers = stage_layers or default_layers(scenario, *shape)
    stages = stages_of(layers, *shape)
    check_layers(scenario, layers)
    if recompute_layers is not None and values["recompute"] != "full":
        raise InputError(
            f"{recompute_layers} recomputed layers need --recompute full, not {values['recompute']}"
        )
    if hosts is not None:
        check_hosts(scenario, hosts)
    return plan_of(
        scenario,
        values,
        stages,
        max(layers) if recompute_layers is None else recompute_layers,
        default_placement if hosts is None else lambda job, _: placement_on(job, hosts),
    )


def stated_plan(
    scenario: Scenario,
    flags: Restrictions,
    *,
    stage_layers: Sequence[int] | None = None,
    recompute_layers: int | None = None,
) -> Plan:
    """The plan that flags describe, read as by `plan_from_flags`, whether it can run or not;
    `problems.plan_problems` says what keeps it from running. Where `stage_layers` does not reach
    all chunks, the last chunks have no layers.

    Raises: InputError for several values of an axis; RuleError for more chunks than any layout
    has.
    """
    given = _single_values(flags)
    values = {**_defaults(scenario, given), **given}
    check_chunks(int(values["pipeline"]), int(values["virtual_stages"]))
    used = int(values["tensor"]) * int(values["pipeline"]) * int(values["context"])
    if "data" not in given:
        values["data"] = max(1, scenario.job.devices // used)
    values |= expert_defaults(SpaceFacts.of(scenario, flags), scenario.job.software, values)
    shape = int(values["pipeline"]), int(values["virtual_stages"]), str(values["schedule"])
    layers = tuple(stage_layers or ())
    chunks, model_layers = shape[0] * shape[1], scenario.model.num_layers
    if len(layers) != chunks:
        few = chunks > model_layers
        layers = (
            (1,) * model_layers + (0,) * (chunks - model_layers)
            if few
            else default_layers(scenario, *shape)
        )
    return plan_of(
        scenario,
        values,
        stages_of(layers, *shape),
        max(layers) if recompute_layers is None else recompute_layers,
    )


def _single_values(flags: Restrictions) -> dict[str, int | float | str | bool]:
    given: dict[str, int | float | str | bool] = {}
    for axis in (*NUMBER_AXES, *SWITCH_AXES):
        asked = getattr(flags, axis)
        if asked is None:
            continue
        if len(asked) != 1:
            raise InputError(f"{option_name(axis)} takes one value here, found {len(asked)}")
        given[axis] = asked[0]
    return given


def _defaults(scenario: Scenario, given: Values) -> dict[str, int | float | str | bool]:
    software = scenario.job.software
    virtual_stages = int(given.get("virtual_stages", 1))
    schedule = software.schedules.default_for(virtual_stages)
    kind, pipeline = kind_of(str(given.get("schedule", schedule))), int(given.get("pipeline", 1))
    possible = [chunks for chunks in (1, 2, 3) if kind.may_have(pipeline, chunks)]
    if "virtual_stages" not in given and len(possible) == 1:
        virtual_stages = possible[0]
    return {
        **dict.fromkeys(NUMBER_AXES, 1),
        "expert_tensor": _expert_tensor(scenario, given),
        "virtual_stages": virtual_stages,
        "schedule": schedule,
        "recompute": software.recompute.default,
        "sequence_parallel": software.sequence_parallel and int(given.get("tensor", 1)) > 1,
        "data_sharding": software.data_sharding.default,
        "shard_over": "all",
        "optimizer_offload": 0.0,
        "activation_offload": 0.0,
        "weight_offload": software.offload.together and bool(given.get("optimizer_offload")),
    }


def _expert_tensor(scenario: Scenario, given: Values) -> int:
    """The framework's own default: with Megatron Core the tensor degree, elsewhere 1."""
    if scenario.model.moe is None or not scenario.job.software.expert.tensor_default:
        return 1
    return int(given.get("tensor", 1))


def remaining_data(scenario: Scenario, values: Values) -> int:
    """Number of replicas that the devices leave room for. Raises: RuleError when the degrees do not
    divide the devices."""
    devices = scenario.job.devices
    used = int(values["tensor"]) * int(values["pipeline"]) * int(values["context"])
    if devices % used:
        fits = [d for d in range(1, devices + 1) if devices % d == 0]
        near = [max(d for d in fits if d < used), *[d for d in fits if d > used][:1]]
        raise RuleError(
            "world",
            f"tensor {values['tensor']} · pipeline {values['pipeline']} · context "
            f"{values['context']} = {used} does not divide the {devices} devices",
            hint=f"nearest products that do: {' or '.join(map(str, near))}",
            axes=("tensor", "pipeline", "context"),
        )
    return devices // used
