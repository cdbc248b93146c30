"""The regime of an estimate: the features in which a measured run should agree with it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.hardware.device import Device
    from planner.plan import Estimate, Plan
    from planner.specs.model.spec import ModelSpec
    from planner.training.scenario import Scenario

SEVERAL_FAMILIES = "mixed"
NO_FAMILY = "other"
"""Families of jobs on several device types, and of devices whose file states no family."""

SIZES = ((8, "up to 8 devices"), (64, "9 to 64 devices"), (512, "65 to 512 devices"))
LARGEST = "over 512 devices"
"""Size classes: the largest number of devices of each, and its name."""
ONE_STAGE = "one stage"
"""Schedule class of plans without a pipeline."""
SEVERAL_CHUNKS = "interleaved"
"""Schedule class of plans with several chunks per stage."""
BITS = {"fp32": 32, "tf32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "mxfp8": 8, "nvfp4": 4}
"""Of the number format in which matmuls run."""
LONG = 16_384
"""Sequences of as many tokens as these are long: attention, whose kernels change from year to year,
takes most of the step."""
HOST_SHARE = 0.05
"""A run counts as host-bound from this share of the step on that is spent waiting for the host's
launches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """`family` is that of the devices (`DeviceSpec.family`); `bits` of the number format matmuls
    run in; `size` and `schedule` are classes; `networked`: the job spans nodes that do not share a
    fast fabric; `long`: its sequences are (`LONG`)."""

    family: str
    bits: int
    host_bound: bool
    size: str
    schedule: str
    networked: bool
    experts: bool
    fully_sharded: bool
    long: bool

    def shared_with(self, other: Regime) -> tuple[str, ...]:
        """Names of the features in which two regimes agree."""
        return tuple(
            field.name
            for field in fields(self)
            if getattr(self, field.name) == getattr(other, field.name)
        )


def regime_of(scenario: Scenario, plan: Plan, cost: Estimate) -> Regime:
    """The regime of a plan with that cost."""
    groups = scenario.cluster.node_groups
    domain = min(group.scale_up.nodes if group.scale_up else 1 for group in groups)
    return Regime(
        family=family_of(scenario),
        bits=BITS[scenario.job.precision],
        host_bound=host_share(cost) > HOST_SHARE,
        size=size_class(scenario.job.devices),
        schedule=schedule_class(plan),
        networked=scenario.topology.nodes > domain,
        experts=scenario.model.moe is not None,
        fully_sharded=plan.data_sharding == "full",
        long=scenario.job.seq_length >= LONG,
    )


def experts_per_device(model: ModelSpec, plan: Plan) -> int:
    """Experts of a layer that a device holds, whole or in tensor parts; 0 in dense models."""
    return 0 if model.moe is None else model.moe.num_experts // plan.degrees.expert


def size_class(devices: int) -> str:
    return next((name for most, name in SIZES if devices <= most), LARGEST)


def schedule_class(plan: Plan) -> str:
    if plan.degrees.pipeline == 1:
        return ONE_STAGE
    return SEVERAL_CHUNKS if plan.virtual_stages > 1 else plan.schedule


def family_of(scenario: Scenario) -> str:
    types = scenario.device_types
    return device_family(types[0]) if len(types) == 1 else SEVERAL_FAMILIES


def device_family(device: Device) -> str:
    return device.family or NO_FAMILY


def host_share(cost: Estimate) -> float:
    """Share of the step that the busiest stage waits for the host to launch kernels."""
    return cost.time_detail["host_bound_s"] / cost.step_s
