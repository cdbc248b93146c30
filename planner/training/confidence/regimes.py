"""The regime of an estimate: the features in which a measured run should agree with it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.plan import Estimate, Plan
    from planner.training.scenario import Scenario

GENERATIONS = (
    ("volta and turing", ("v100", "t4")),
    ("ampere", ("a100", "a800")),
    ("hopper", ("h100", "h200", "h800")),
    ("blackwell", ("b200", "b300", "gb200", "gb300")),
    ("cdna", ("mi2", "mi3")),
)
"""Device generations, and how the names of their devices start."""

SIZES = ((8, "up to 8 devices"), (64, "9 to 64 devices"), (512, "65 to 512 devices"))
LARGEST = "over 512 devices"
"""Size classes: the largest number of devices of each, and its name."""
ONE_STAGE = "one stage"
"""Schedule class of plans without a pipeline."""
SEVERAL_CHUNKS = "interleaved"
"""Schedule class of plans with several chunks per stage."""
BITS = {"fp32": 32, "tf32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "mxfp8": 8, "nvfp4": 4}
"""Of the number format in which matmuls run."""
HOST_SHARE = 0.05
"""A run counts as host-bound from this share of the step on that is spent waiting for the host's
launches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """`generation` is "mixed" on several device types, "other" for devices without measured runs;
    `bits` of the number format matmuls run in; `size` and `schedule` are classes;
    `networked`: the job spans nodes that do not share a fast fabric."""

    generation: str
    bits: int
    host_bound: bool
    size: str
    schedule: str
    networked: bool
    experts: bool
    fully_sharded: bool

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
        generation=generation_of(scenario),
        bits=BITS[scenario.job.precision],
        host_bound=host_share(cost) > HOST_SHARE,
        size=size_class(scenario.job.devices),
        schedule=schedule_class(plan),
        networked=scenario.topology.nodes > domain,
        experts=scenario.model.moe is not None,
        fully_sharded=plan.data_sharding == "full",
    )


def size_class(devices: int) -> str:
    return next((name for most, name in SIZES if devices <= most), LARGEST)


def schedule_class(plan: Plan) -> str:
    if plan.degrees.pipeline == 1:
        return ONE_STAGE
    return SEVERAL_CHUNKS if plan.virtual_stages > 1 else plan.schedule


def generation_of(scenario: Scenario) -> str:
    found = {device_generation(device.name) for device in scenario.device_types}
    return found.pop() if len(scenario.device_types) == 1 else "mixed"


def device_generation(name: str) -> str:
    for generation, starts in GENERATIONS:
        if name.lower().startswith(starts):
            return generation
    return "other"


def host_share(cost: Estimate) -> float:
    """Share of the step that the busiest stage waits for the host to launch kernels."""
    return cost.time_detail["host_bound_s"] / cost.step_s
