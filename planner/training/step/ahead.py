"""Microbatches that plans run ahead over slow boundaries, where their schedule does so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.hardware.ideal import IdealTopology
from planner.schedule.orders.ahead import microbatches_ahead
from planner.training.step.passes import chunk_passes
from planner.training.step.sends import boundary_sends

if TYPE_CHECKING:
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


def with_ahead(scenario: Scenario, table: CostTable, batch: Batch) -> Batch:
    """The batch with the microbatches that its plans run ahead, from the times of their stages and
    of the sends of the slowest replica. On an ideal topology, which has no links of its own, no
    microbatch runs ahead: that takes the least memory."""
    if not batch.kind.runs_ahead or isinstance(scenario.topology, IdealTopology):
        return batch
    passes = chunk_passes(scenario, table, batch)
    sends = boundary_sends(scenario, table, batch)
    stage_s = (passes.forward_s + passes.backward_s).sum(axis=-1)
    ahead = microbatches_ahead(stage_s, sends.forward_s, sends.backward_s)
    return replace(batch, ahead=ahead)
