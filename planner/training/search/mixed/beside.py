"""What a stage of every device type takes beside its passes, with the best links of the type."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.training.search.layouts.bound import ENDLESS_S
from planner.training.search.mixed.speeds import layer_columns
from planner.training.step.reduction import parameter_gather
from planner.training.step.sends import boundary_sends
from planner.training.step.update import stage_optimizer_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.step.reduction import OnceAStep


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BesidePasses:
    """Seconds of a step by device type: `always_s` [N, p, C] a stage waits for its own messages and
    gathers and updates the fewest layers; `layer_s` [N, C] a layer more, at least."""

    always_s: Floats
    layer_s: Floats

    @classmethod
    def of(cls, scenario: Scenario, table: CostTable, batch: Batch, *, free: bool) -> BesidePasses:
        """`scenario` and `table` are of the ideal topology."""
        always, layer = [], []
        most = scenario.model.num_layers
        columns = layer_columns(scenario).tolist() if free else [0]
        for alone in scenario.by_type:
            few, many = (
                [_After.of(alone, table, batch, column, layers, free=free) for column in columns]
                for layers in (0, most)
            )
            low_s, high_s = _ends_s(alone, few, many)
            always.append(low_s + _held_s(alone, table, batch))
            layer.append(np.maximum(high_s - low_s, 0.0).min(axis=1) / most)
        overhead_s = scenario.job.software.step_overhead.value
        return cls(
            always_s=np.stack(always, axis=-1) + overhead_s, layer_s=np.stack(layer, axis=-1)
        )


class _After(NamedTuple):
    """What follows the pipeline on stages with so many layers of one kind: `gather` and `update_s`,
    [N, p] each."""

    gather: OnceAStep
    update_s: Floats

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        table: CostTable,
        batch: Batch,
        column: int,
        layers: int,
        *,
        free: bool,
    ) -> _After:
        """With the layers that stages have where they are not free to have others."""
        if free:
            counts = batch.load.counts.copy()
            counts[..., layer_columns(scenario)] = 0
            counts[:, -1, column] = layers
            batch = replace(batch, load=replace(batch.load, counts=counts))
        update_s = stage_optimizer_s(scenario, table, batch)
        return cls(parameter_gather(scenario, table, batch), update_s)


def _ends_s(
    scenario: Scenario, few: Sequence[_After], many: Sequence[_After]
) -> tuple[Floats, Floats]:
    """[N, p] each: the ends of a line by the layers of a stage, which nothing that follows the
    pipeline is below. Gathers and updates grow ever more slowly with the parameters, so they lie
    above the line between few and many layers. What of a gather nothing can hide grows up to one
    bucket and falls with every bucket more, so it is no less than at one of the ends."""
    bare = [one.gather.uncovered_s for one in (*few, *many)]
    least_s = np.min(bare, axis=0)
    whole = np.all([one.gather.seconds == one.gather.uncovered_s for one in (*few, *many)], axis=0)
    endless_s = np.full(least_s.shape, ENDLESS_S)

    def of(ends: Sequence[_After]) -> Floats:
        found = []
        for gather, update_s in ends:
            bare_s = np.where(whole, gather.uncovered_s, least_s)
            exposed_s = gather._replace(uncovered_s=bare_s).exposed_s(scenario, endless_s)
            found.append(exposed_s + update_s)
        return np.asarray(np.min(found, axis=0))

    return of(few), of(many)


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
