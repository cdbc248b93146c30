"""What makes room for a request where a replica has none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from planner.errors import RuleError
from planner.serving.estimate import holds_a_request, prices
from planner.serving.scenario import WEIGHT_BYTES
from planner.wording.units import gib

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.scenario import ServingScenario


def changes_with_room(scenario: ServingScenario, load: ClosedLoad, most: int) -> Iterator[str]:
    """The smallest tensor degree and the widest format of weights that make room, each alone, as
    options. `most`: devices of a node."""
    degrees = scenario.degrees
    for tensor in range(degrees.tensor + 1, most // degrees.attention_data + 1):
        if _has_room(scenario, load, degrees=replace(degrees, tensor=tensor)):
            yield f"--tensor {tensor}"
            break
    lighter = [one for one, size in WEIGHT_BYTES.items() if size < WEIGHT_BYTES[scenario.weights]]
    for weights in sorted(lighter, key=lambda one: -WEIGHT_BYTES[one]):
        if _has_room(scenario, load, weights=weights):
            yield f"--weights {weights}"
            break


def shortfall(scenario: ServingScenario, load: ClosedLoad) -> str:
    """Which part of a replica leaves no room for the longest request, and by how much."""
    memory, degrees, device = prices(scenario)[1], scenario.degrees, scenario.device
    capacity = device.memory.capacity.value
    what = f"{scenario.model.name} in {scenario.weights} on {degrees.devices} x {device.name}"
    if memory.weight_bytes > capacity:
        return (
            f"memory: weights of {what} take {gib(round(memory.weight_bytes))} GiB of the "
            f"{gib(round(capacity))} GiB of each device"
        )
    return (
        f"memory: {what} leaves {memory.kv_tokens:,} tokens of KV cache; the longest request has "
        f"{load.input_tokens + load.output_tokens:,}"
    )


def stages_with_room(scenario: ServingScenario, load: ClosedLoad) -> int | None:
    """The fewest stages, more than it has, with which a replica has room."""
    degrees, layers = scenario.degrees, scenario.model.num_layers
    for pipeline in range(degrees.pipeline + 1, layers + 1):
        if _has_room(scenario, load, degrees=replace(degrees, pipeline=pipeline)):
            return pipeline
    return None


def _has_room(scenario: ServingScenario, load: ClosedLoad, **changes: Any) -> bool:
    try:
        return holds_a_request(prices(replace(scenario, **changes))[1], load)
    except RuleError:
        return False
