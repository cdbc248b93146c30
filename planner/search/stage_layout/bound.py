"""Lower bounds of a combination's step over all its stage layouts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.timing.reduction import expected_slowest, optimizer_s, parameter_gather_s

if TYPE_CHECKING:
    from planner.batch import Batch
    from planner.costs import CostTable
    from planner.scenario import Scenario

ENDLESS_S = 1e9
"""A forward pass that hides everything beside it."""


def beside_pipeline_s(scenario: Scenario, table: CostTable, batch: Batch) -> float:
    """What the batch's only plan takes at least beside its pipeline, whatever its layout: some
    stage has as many layers of a kind as all have on average, rounded down, to gather and to
    update."""
    total = batch.load.counts.sum(axis=(0, 1), keepdims=True)
    total[..., -2:] = 0
    even = np.broadcast_to(total // batch.pipeline, (batch.pipeline, *total.shape[1:]))
    balanced = replace(batch, load=replace(batch.load, counts=even))
    hiding = np.full((1, batch.pipeline), ENDLESS_S)
    gather = parameter_gather_s(scenario, table, balanced, hiding)
    return float((gather + optimizer_s(scenario, table, balanced))[0])


def jitter_share(scenario: Scenario, pipeline: int) -> float:
    """By what share of the average stage's work a step is longer at least because its devices
    differ (`planner.timing.step.jitter_s` with one stage waited for)."""
    variation = max(device.speed_variation for device in scenario.device_types)
    return variation * max(expected_slowest(scenario.job.devices // pipeline), 0.0)
