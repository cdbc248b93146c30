"""The simulated step of one plan, with the bytes that its passes allocate and free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.schedule.simulation.kept_memory import kept_memory
from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, shard_of
from planner.training.memory.in_flight import microbatch_bytes
from planner.training.step.ahead import with_ahead
from planner.training.step.simulated import spell_out
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from planner.arrays import Ints
    from planner.plan import Plan
    from planner.schedule.simulation.kept_memory import KeptMemory
    from planner.schedule.simulation.timeline import Timeline
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepTimeline:
    """Times in seconds from the start of the step. The optimizer runs when the pipeline and its
    reductions are over, then updated weights are gathered; jitter is what devices of unequal speed
    add, at no particular moment."""

    timeline: Timeline
    activation_bytes: Ints
    """[p, v]: what one microbatch leaves in a chunk from its forward to its backward."""
    shared_logits_bytes: Ints
    """[p]: logits between the two passes of an output layer that all stages share."""
    optimizer_s: float
    gather_s: float
    jitter_s: float

    @property
    def step_s(self) -> float:
        return self.timeline.span_s + self.optimizer_s + self.gather_s + self.jitter_s

    @property
    def memory(self) -> tuple[KeptMemory, ...]:
        """Activations of every stage over time, in bytes."""
        return kept_memory(self.timeline, self.activation_bytes, self.shared_logits_bytes)


def step_timeline(scenario: Scenario, plan: Plan) -> StepTimeline:
    """The step that `planner.training.estimate` prices, with recomputation as separate passes."""
    scenario = scenario.running(plan)
    table = cost_table(scenario, [shard_of(plan)])
    load = stage_load(scenario.model, scenario.kinds, plan.stages)
    batch = with_ahead(scenario, table, batch_of_one(plan, 0, load))
    step = spell_out(scenario, table, batch)
    chunks, shared = microbatch_bytes(table, batch)
    return StepTimeline(
        timeline=step.timeline,
        activation_bytes=chunks[0],
        shared_logits_bytes=shared[0],
        optimizer_s=step.optimizer_s,
        gather_s=step.gather_s,
        jitter_s=step.jitter_s,
    )
