"""Step tables that are kept, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from planner.serving.memory import ServingMemory, serving_memory
from planner.serving.step import StepCosts

if TYPE_CHECKING:
    from planner.serving.scenario import ServingScenario

_MOST_BYTES = 1 << 27
"""Of all tables: 128 MiB are those of some 450 scenarios with vLLM's limits."""


class HeldPrices:
    """Steps and memory of the scenarios asked for last; those before them are worked out anew."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._held: OrderedDict[ServingScenario, tuple[StepCosts, ServingMemory]] = OrderedDict()
        self.table_bytes = 0
        """Of the tables held."""

    def of(self, scenario: ServingScenario) -> tuple[StepCosts, ServingMemory]:
        """Of one scenario, which is the newest from here on."""
        found = self._held.get(scenario)
        if found is not None:
            self._held.move_to_end(scenario)
            return found
        limits = scenario.engine.scheduler
        costs = StepCosts(scenario, limits.max_step_tokens + limits.max_running)
        found = costs, serving_memory(scenario)
        self._held[scenario] = found
        self.table_bytes += costs.table_bytes
        while self.table_bytes > self._most_bytes and len(self._held) > 1:
            _, (oldest, _) = self._held.popitem(last=False)
            self.table_bytes -= oldest.table_bytes
        return found

    def clear(self) -> None:
        self._held.clear()
        self.table_bytes = 0
