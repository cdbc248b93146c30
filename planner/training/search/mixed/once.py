"""What stages of one device type do once a step, by the layers they hold: they gather and update
weights and reduce gradients.

Gathers and reductions may run beside a pass and lengthen a step by what outlasts it. A row with all
passes of a stage grows with these by no less than they hide, so it stands with the passes known. A
simulated step does not: a pass that is longer than known may hide more without being on the longest
path. There they are hidden by passes only where these are known exactly.

Letters as in `planner.training.search.mixed.order_problem`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.training.memory.sharding import reduced_every_microbatch
from planner.training.search.layouts.bound import ENDLESS_S
from planner.training.search.mixed.speeds import layer_columns
from planner.training.step.reduction import OnceAStep, gradient_reduction, parameter_gather
from planner.training.step.update import stage_optimizer_s

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.training.scenario import Scenario
    from planner.training.search.mixed.typed import TypedCombination


class OnceTables:
    """Tables [p, K + 1, 1] of a device type: `gather`, `reduction`, and `update_s` of the optimizer
    with the step's overhead, for stages that hold `lengths` layers."""

    def __init__(self, of: TypedCombination, index: int, lengths: Ints) -> None:
        self._of, self._scenario = of, of.scenarios[index]
        fewest, most = of.fewest(), max(len(lengths) - 1, 1)
        few = self._of_layers(index, fewest)
        many = self._of_layers(index, np.full_like(fewest, most))
        steps = np.maximum(lengths - fewest[:, None], 0) / np.maximum(most - fewest, 1)[:, None]

        def between(which: int) -> Floats:
            """All grow ever more slowly with the parameters, so they lie above this line."""
            low, high = few[:, which].min(axis=0), many[:, which].min(axis=0)
            more = np.maximum(high - low, 0.0)
            return np.asarray((low[:, None] + more[:, None] * steps)[..., None])

        def uncovered(seconds: Floats, first: int) -> Floats:
            """All of it up to one bucket; the share of one falls with every bucket more."""
            ends = np.stack((few, many))
            low = ends[:, :, first + 1].min(axis=(0, 1))
            whole = (ends[:, :, first] == ends[:, :, first + 1]).all(axis=(0, 1))
            return np.asarray(np.where(whole[:, None, None], seconds, low[:, None, None]))

        def once(first: int) -> OnceAStep:
            seconds = between(first)
            return OnceAStep(seconds, uncovered(seconds, first), between(first + 2))

        self.gather, self.reduction = once(0), once(3)
        self.update_s = between(6) + of.ideal.job.software.step_overhead.value

    def exposed_s(
        self, forward_s: Floats, backward_s: Floats, *, known: bool = True
    ) -> tuple[Floats, Floats]:
        """What follows the pipeline, and the reduction, beside passes that take so long; if these
        are not `known`, beside passes that hide all they can."""
        endless = np.full(forward_s.shape, ENDLESS_S)
        covers = (forward_s, backward_s) if known else (endless, endless)
        return (
            self.gather.exposed_s(self._scenario, covers[0]) + self.update_s,
            self.reduction.exposed_s(self._scenario, covers[1]),
        )

    def _of_layers(self, index: int, layers: Ints) -> Floats:
        """[kinds of layers, 7, p]: gather, reduction and update of stages with so many layers of
        one kind."""
        of, (scenario, table) = self._of, (self._scenario, self._of.tables[index])
        found = []
        for column in sorted(set(of.layer_columns)):
            counts = of.batch.load.counts.copy()
            if of.free:
                counts[..., layer_columns(of.ideal)] = 0
                counts[:, -1, column] = layers
            batch = replace(
                of.batch,
                row=np.zeros(1, dtype=np.int64),
                load=replace(of.batch.load, counts=counts),
            )
            gather = parameter_gather(scenario, table, batch)
            reduction = gradient_reduction(scenario, table, batch)
            update_s = stage_optimizer_s(scenario, table, batch)
            found.append(np.concatenate([*gather, *reduction, update_s]))
        return np.stack(found)


def passes_known(of: TypedCombination) -> bool:
    """Whether passes take the same on all devices of a type, wherever stages are: their groups lie
    inside scale-up domains that are alike, and nothing else runs in them."""
    batch, scenario = of.batch, of.ideal
    if bool(of.table.overlapped[batch.row].any()) or batch.offloads:
        return False
    if bool(reduced_every_microbatch(scenario.job.software, batch).any()):
        return False
    groups = (int((batch.tensor * batch.context)[0]), int((batch.expert * batch.expert_tensor)[0]))
    return all(_alike_inside(alone, groups) for alone in of.scenarios)


def _alike_inside(scenario: Scenario, groups: tuple[int, ...]) -> bool:
    """Whether nodes differ in nothing but their network, and groups of these sizes lie inside
    domains."""
    kinds = {
        (
            kind.devices_per_node * kind.domain_nodes,
            kind.wired_devices,
            kind.node_bytes_per_s,
            kind.node_step_s,
            kind.domain_bytes_per_s,
            kind.domain_step_s,
        )
        for kind in scenario.topology.cluster_kinds
    }
    return len(kinds) == 1 and all(next(iter(kinds))[0] % size == 0 for size in groups)
