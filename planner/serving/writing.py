"""Replicas that only write answers, in their steady state.

A rank with B requests gives each a token in every step: TPOT = decode(B), and it ends B/(O TPOT) of
them per second, where O are the tokens of an answer (Little 1961).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from planner.serving.estimate import prices

if TYPE_CHECKING:
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.scenario import ServingScenario
    from planner.serving.step import StepCosts


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerWriter:
    """One replica. `most`: requests that its KV caches and limits hold; `lanes`: batches that run
    side by side; `context`: mean tokens that a request has cached."""

    costs: StepCosts
    most: float
    lanes: int
    context: float
    output_tokens: float

    def held(self, clients: float) -> float:
        """Of so many requests those that run."""
        return min(clients, self.most)

    def tpot_s(self, running: float) -> float:
        """Seconds of a step with so many requests on all lanes: between whole numbers of them
        interpolated."""
        each = max(1.0, running / self.lanes)
        low = int(each)
        at_s = self.costs.decode_s(low, low * self.context)
        if each == low:
            return at_s
        above_s = self.costs.decode_s(low + 1, (low + 1) * self.context)
        return at_s + (each - low) * (above_s - at_s)

    def per_s(self, running: float) -> float:
        """Requests that end in a second."""
        return running / (self.output_tokens * self.tpot_s(running)) if running else 0.0


@lru_cache(maxsize=1024)
def writer_of(scenario: ServingScenario, load: ClosedLoad) -> AnswerWriter:
    """A replica of the scenario that only writes answers."""
    costs, memory = prices(scenario)
    lanes = scenario.degrees.attention_data * scenario.degrees.pipeline
    context = load.mean_input + load.mean_output / 2
    each = memory.request_bytes(context)
    room = memory.kv_bytes / each if each else float(scenario.engine.scheduler.max_running)
    return AnswerWriter(
        costs=costs,
        most=lanes * max(1.0, min(room, scenario.engine.scheduler.max_running)),
        lanes=lanes,
        context=context,
        output_tokens=load.mean_output,
    )
