"""The time of one step, for a whole batch of plans: every part, and a lower bound of the sum.

step = pipeline (with exposed gradient reduction) + parameter gather + optimizer + jitter.
`planner.training.step.simulated` puts the exact pipeline in place of the bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.hardware.ideal import IdealTopology
from planner.schedule.bounds.closed_form import span_lower_bound, work_lower_bound
from planner.schedule.registry import kind_of
from planner.training.memory.sharding import reduced_every_microbatch
from planner.training.step.passes import Passes, chunk_passes
from planner.training.step.reduction import (
    copies_reduction_s,
    gradient_reduction_s,
    stage_gathers_s,
    tied_reduction_s,
)
from planner.training.step.sends import Sends, boundary_sends
from planner.training.step.stragglers import expected_slowest
from planner.training.step.update import exposed_update_s, optimizer_s
from planner.training.step.vocabulary import VocabularyPasses, vocabulary_passes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepParts:
    """Seconds: passes [.., N, p, v], sends [N, p·v − 1], reduction_s and stage_gathers_s [N, p],
    the others [N].
    `busy_s` [N, p] is what each stage computes and communicates inside its passes in one step."""

    schedule: str
    passes: Passes
    vocabulary: VocabularyPasses
    sends: Sends
    reduction_s: NDArray[np.float64]
    tied_reduction_s: NDArray[np.float64]
    stage_gathers_s: NDArray[np.float64]
    optimizer_s: NDArray[np.float64]
    jitter_s: NDArray[np.float64]
    busy_s: NDArray[np.float64]
    num_microbatches: NDArray[np.int64]
    exposed_update_s: NDArray[np.float64]
    """What of `optimizer_s` is on the host."""

    @property
    def gather_s(self) -> NDArray[np.float64]:
        """[N]: the parameter gather of the slowest stage, which a step waits for."""
        slowest: NDArray[np.float64] = self.stage_gathers_s.max(axis=-1)
        return slowest

    def lower_bound_s(self) -> NDArray[np.float64]:
        """[N]: the schedule is not faster than this. The reduction between the ends of the model
        follows both ends' own."""
        shape = np.broadcast_shapes(self.reduction_s.shape, (*self.tied_reduction_s.shape, 1))
        reduction_s = np.broadcast_to(self.reduction_s, shape).copy()
        reduction_s[..., 0] += self.tied_reduction_s
        if kind_of(self.schedule).returns_to_first:
            pipeline_s = span_lower_bound(
                self.passes.forward_s,
                self.passes.backward_s,
                self.sends.forward_s,
                self.sends.backward_s,
                num_microbatches=self.num_microbatches,
                sends=self.sends.mode,
                reduction_s=reduction_s,
            )
        else:
            pipeline_s = work_lower_bound(
                self.schedule,
                self.passes.forward_s,
                self.passes.backward_s + self.vocabulary.busy_s[..., None],
                self.sends.forward_s,
                num_microbatches=self.num_microbatches,
                reduction_s=reduction_s,
            )
        bound: NDArray[np.float64] = pipeline_s + self.gather_s + self.optimizer_s + self.jitter_s
        return bound


def step_parts(scenario: Scenario, table: CostTable, batch: Batch) -> StepParts:
    """Price every part of the step of every plan of the batch."""
    passes = chunk_passes(scenario, table, batch)
    forward_s = passes.forward_s.sum(axis=-1)
    backward_s = passes.backward_s.sum(axis=-1)
    vocabulary = vocabulary_passes(scenario, table, batch, backward_s)
    busy_s = batch.chunk_microbatches[:, None] * (forward_s + backward_s + vocabulary.busy_s)
    return StepParts(
        schedule=batch.schedule,
        passes=passes,
        vocabulary=vocabulary,
        sends=boundary_sends(scenario, table, batch),
        reduction_s=gradient_reduction_s(scenario, table, batch, backward_s)
        + copies_reduction_s(scenario, table, batch),
        tied_reduction_s=tied_reduction_s(scenario, batch),
        stage_gathers_s=stage_gathers_s(scenario, table, batch, forward_s),
        optimizer_s=optimizer_s(scenario, table, batch),
        jitter_s=jitter_bound_s(scenario, batch, busy_s),
        busy_s=busy_s,
        num_microbatches=batch.num_microbatches,
        exposed_update_s=exposed_update_s(scenario, table, batch),
    )


def jitter_s(scenario: Scenario, busy_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N]: a synchronous step waits for the slowest of the devices that work in lockstep.

    The k busiest stages (`busy_s` [N, p]) have k·n devices. The slowest of these has at least the
    work of the k-th stage, and takes longer for it by the expected maximum of k·n deviations. The
    step waits for the largest of these times over k.
    """
    slowed_s, busiest_s, _ = _slowed(scenario, busy_s)
    return np.asarray(slowed_s - busiest_s)


def jitter_bound_s(
    scenario: Scenario,
    batch: Batch,
    busy_s: NDArray[np.float64],
    *,
    longer: NDArray[np.bool_] | bool = False,
    typed: bool = False,
) -> NDArray[np.float64]:
    """[N]: `jitter_s`; on the ideal topology no more than on any hosts of the plan, where stages
    may be busy for longer than `busy_s` [N, p]. `typed`: these are of the types that stages have.
    `longer` [N]: plans whose stages may be busy for longer in any case.

    Longer work of the busiest stage hides how others differ: jitter may fall as it grows, and the
    pipeline need not be longer for it. With a the slowdown of one stage's devices and S the longest
    slowed work, jitter is at least max((a − 1)·b, S − b) for a busiest stage of b seconds, and
    S·(a − 1)/a over all b.
    """
    slowed_s, busiest_s, alone = _slowed(scenario, busy_s)
    topology = scenario.topology
    if isinstance(topology, IdealTopology):
        spread = np.maximum(batch.tensor * batch.context, batch.expert * batch.expert_tensor)
        longer = longer | (spread > topology.kind.devices_per_node * topology.kind.domain_nodes)
        longer |= reduced_every_microbatch(scenario.job.software, batch)
        longer |= topology.sizes_differ or (len(topology.real_devices) > 1 and not typed)
    return np.where(longer, slowed_s * (alone - 1) / alone, slowed_s - busiest_s)


def _slowed(
    scenario: Scenario, busy_s: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """[N] each: the longest slowed work and that of the busiest stage; and the slowdown of the
    devices of one stage."""
    variation = max(device.speed_variation for device in scenario.device_types)
    stages = busy_s.shape[1]
    stage_devices = scenario.job.devices // stages
    slowed = [1 + variation * expected_slowest((k + 1) * stage_devices) for k in range(stages)]
    busiest_first = np.sort(busy_s, axis=1)[:, ::-1]
    return (busiest_first * slowed).max(axis=1), busiest_first[:, 0], slowed[0]
