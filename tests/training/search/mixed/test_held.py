"""What stages hold, priced for many numbers of layers at once, against one load at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, shard_of
from planner.training.memory.stage import stage_peaks
from planner.training.search.best_first.combinations import Combinations
from planner.training.search.best_first.run import SearchRun
from planner.training.search.mixed.held import HeldBytes
from planner.training.search.mixed.rooms import allocated_bytes
from planner.training.search.mixed.typed import TypedCombination
from planner.training.search.space.restrictions import Restrictions
from planner.workload.stages import StageLoad, stage_load

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.training.scenario import Scenario


@pytest.mark.parametrize("experts", [0, 4])
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_one_call_finds_what_one_for_each_load_does(
    scenario_of: Callable[..., Scenario], recompute: str, experts: int
) -> None:
    scenario = scenario_of(layers=7, batch=16, experts=experts, first_dense=2)
    restrictions = Restrictions(
        pipeline=(4,),
        schedule=("1f1b",),
        virtual_stages=(1,),
        recompute=(recompute,),
        micro_batch_size=(1,),
    )
    run = SearchRun(scenario=scenario, restrictions=restrictions, top=1)
    run.bound()
    plan = Combinations(scenario=scenario, groups=run.space.fitting).plan(0, 1)
    table = cost_table(scenario, [shard_of(plan)])
    load = stage_load(scenario.model, scenario.kinds, plan.stages)
    batch = batch_of_one(plan, 0, load)
    of = TypedCombination.of(scenario, plan, table, batch, (table,), free=True)
    recomputed = np.arange(1, 4) if recompute == "full" else np.zeros(1, dtype=np.int64)
    held = HeldBytes(of, np.arange(6), recomputed)
    before, layers = of.counts_before, len(of.layer_columns)
    assert layers == 7
    for index, led in enumerate(recomputed.tolist()):
        table_bytes = held.table(index)
        for count in range(6):
            for end in range(count, layers + 1):
                counts = batch.load.counts.copy()
                counts[..., :-2] = 0
                leading = np.zeros((led + 1, *counts.shape), dtype=np.int64)
                counts[:, 0] += before[end] - before[end - count]
                for some in range(led + 1):
                    until = end - count + min(some, count)
                    leading[some, :, 0] = before[until] - before[end - count]
                alone = replace(
                    batch,
                    load=StageLoad(counts=counts, leading=leading),
                    recomputed_layers=np.full(1, led),
                )
                peaks = stage_peaks(scenario, table, alone)
                assert table_bytes[:, count, end].tolist() == allocated_bytes(peaks)[0].tolist()
