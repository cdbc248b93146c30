"""What a stage of every device type takes beside its passes, with the best links of the type."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.layouts.bound import ENDLESS_S
from planner.training.search.mixed.speeds import layer_columns
from planner.training.step.reduction import stage_gathers_s
from planner.training.step.sends import boundary_sends
from planner.training.step.update import stage_optimizer_s

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BesidePasses:
    """Seconds of a step by device type: `always_s` [N, p, C] a stage waits for its own messages and
    gathers and updates the fewest layers; `layer_s` [N, C] a layer more, at least. Both grow ever
    more slowly with the parameters, so they lie above the line between few and many layers."""

    always_s: Floats
    layer_s: Floats

    @classmethod
    def of(cls, scenario: Scenario, table: CostTable, batch: Batch, *, free: bool) -> BesidePasses:
        """`scenario` and `table` are of the ideal topology."""
        always, layer = [], []
        for alone in scenario.by_type:
            few, many = [], []
            for column in layer_columns(scenario) if free else (0,):
                few.append(_after_s(alone, table, batch, int(column), 0, free=free))
                most = scenario.model.num_layers
                many.append(_after_s(alone, table, batch, int(column), most, free=free))
            low, high = np.min(few, axis=0), np.min(many, axis=0)
            slope = np.maximum(high - low, 0.0).min(axis=1) / scenario.model.num_layers
            always.append(low + _held_s(alone, table, batch))
            layer.append(slope)
        overhead_s = scenario.job.software.step_overhead.value
        return cls(
            always_s=np.stack(always, axis=-1) + overhead_s, layer_s=np.stack(layer, axis=-1)
        )


def _after_s(
    scenario: Scenario, table: CostTable, batch: Batch, column: int, layers: int, *, free: bool
) -> Floats:
    """[N, p]: gather and optimizer of stages with so many layers of one kind, or with those that
    they have where they are not free to have others."""
    if free:
        counts = batch.load.counts.copy()
        counts[..., layer_columns(scenario)] = 0
        counts[:, -1, column] = layers
        batch = replace(batch, load=replace(batch.load, counts=counts))
    hiding = np.full((len(batch), batch.pipeline), ENDLESS_S)
    gathers = stage_gathers_s(scenario, table, batch, hiding)
    return np.asarray(gathers + stage_optimizer_s(scenario, table, batch))


def _held_s(scenario: Scenario, table: CostTable, batch: Batch) -> Floats:
    """[N, p]: how long a stage waits for its own messages, the first of each kind left out."""
    p, v = batch.pipeline, batch.virtual_stages
    sends = boundary_sends(scenario, table, batch)
    known = batch.kind.returns_to_first and sends.mode in ("blocking", "paired") and p > 1
    if not known:
        return np.zeros((len(batch), p))
    none = np.zeros((len(batch), 1))
    forward = np.append(sends.forward_s, none, axis=1).reshape(-1, v, p).sum(axis=1)
    backward = np.append(none, sends.backward_s, axis=1).reshape(-1, v, p).sum(axis=1)
    held = forward + backward if sends.mode == "blocking" else np.maximum(forward, backward)
    return np.asarray((batch.num_microbatches - 1)[:, None] * held)
