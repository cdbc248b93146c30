"""Seconds that each pipeline stage works on one microbatch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, shard_of
from planner.training.step.passes import chunk_passes
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from planner.plan import Plan
    from planner.training.scenario import Scenario


def stage_seconds(scenario: Scenario, plan: Plan) -> tuple[list[float], list[float]]:
    """Forward and backward seconds of one microbatch, by stage, all chunks of a stage together."""
    table = cost_table(scenario, [shard_of(plan)])
    load = stage_load(scenario.model, scenario.kinds, plan.stages)
    passes = chunk_passes(scenario, table, batch_of_one(plan, 0, load))
    return passes.forward_s[0].sum(axis=-1).tolist(), passes.backward_s[0].sum(axis=-1).tolist()
