"""What bounds count beside the passes, against stages of every number of layers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, shard_of
from planner.training.search.best_first.combinations import Combinations
from planner.training.search.best_first.run import SearchRun
from planner.training.search.layouts.bound import ENDLESS_S
from planner.training.search.mixed.beside import BesidePasses
from planner.training.search.mixed.speeds import layer_columns
from planner.training.search.space.restrictions import Restrictions
from planner.training.step.reduction import stage_gathers_s
from planner.training.step.update import stage_optimizer_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.training.scenario import Scenario

TYPES: dict[str, Any] = {
    "device_nodes": (("a100-sxm-80gb", 2), ("h100-sxm-80gb", 2)),
    "devices_per_node": 2,
}


@pytest.mark.parametrize("software", ["megatron-core", "megatron-core-overlap"])
@pytest.mark.parametrize("hidden", [256, 2048])
def test_no_number_of_layers_is_gathered_and_updated_faster(
    scenario_of: Callable[..., Scenario], software: str, hidden: int
) -> None:
    """An embedding of many buckets hides more of the gather of every layer beside it."""
    scenario = scenario_of(
        **TYPES, hidden=hidden, ffn=4 * hidden, layers=12, batch=16, software=software
    )
    restrictions = Restrictions(pipeline=(1,), schedule=("1f1b",), data_sharding=("optimizer",))
    run = SearchRun(scenario=scenario, restrictions=restrictions, top=1)
    run.bound()
    combinations = Combinations(scenario=scenario, groups=run.space.fitting)
    plan, (group, _) = combinations.plan(0, 1), combinations.place(0)
    ideal = scenario.ideal
    table = cost_table(ideal, [shard_of(plan)])
    batch = batch_of_one(plan, 0, group.layout.load)
    assert plan.degrees.data > 1
    beside = BesidePasses.of(ideal, table, batch, free=True)
    hiding = np.full((1, plan.degrees.pipeline), ENDLESS_S)
    overhead_s = scenario.job.software.step_overhead.value
    (column,) = layer_columns(ideal).tolist()
    for index, alone in enumerate(ideal.by_type):
        for layers in range(13):
            counts = batch.load.counts.copy()
            counts[..., column] = 0
            counts[:, -1, column] = layers
            held = replace(batch, load=replace(batch.load, counts=counts))
            exact_s = stage_gathers_s(alone, table, held, hiding)
            exact_s = exact_s + stage_optimizer_s(alone, table, held) + overhead_s
            least_s = beside.always_s[..., index] + layers * beside.layer_s[:, index]
            assert (least_s <= exact_s * (1 + 1e-12)).all()
