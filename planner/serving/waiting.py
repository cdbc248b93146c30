"""How long prompts wait where they are read: a queue with one server for each rank.

    ρ   prompts per second that a rank reads when its steps are full      u   share of it that comes
    c²  squared coefficient of variation of the time of a prompt

Mean wait u (1 + c²)/(2 (1 − u) ρ) (Pollaczek 1930, Khinchine 1932). The chance of waiting longer
than t is about u exp(−t/w) with w the mean wait over u: exact with exponential times, and in heavy
traffic (Kingman 1962).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf, log
from typing import TYPE_CHECKING

from planner.serving.estimate import prices
from planner.serving.latency import Latency
from planner.serving.load.steady import prompt_alone_s, prompts_per_s

if TYPE_CHECKING:
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.scenario import ServingScenario


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptReader:
    """One replica that reads prompts. `read_per_s`: at most, over its ranks; `alone_s`: of a mean
    prompt that does not wait, from the client to its first token; `load`: how lengths differ;
    `ranks` read side by side."""

    read_per_s: float
    alone_s: float
    load: ClosedLoad
    ranks: int

    def ttft(self, share: float, transfer_s: float) -> Latency:
        """Where `share` of what the replica can read comes, and the KV cache travels for
        `transfer_s`. Infinite at 1."""
        if share >= 1:
            return Latency.same(inf)
        mean_s = self.wait_s(share)
        fixed_s = self.alone_s + transfer_s

        def quantile_s(below: float) -> float:
            longer_s = self.alone_s * max(0.0, self.load.input_excess(below))
            return fixed_s + longer_s + _quantile_s(1 - below, share, mean_s)

        return Latency.by_quantile(fixed_s + mean_s, quantile_s)

    def wait_s(self, share: float) -> float:
        """Mean seconds until a prompt is looked at."""
        return (
            share
            * (1 + self.load.input_variation)
            / (2 * (1 - share))
            * self.ranks
            / self.read_per_s
        )


@lru_cache(maxsize=1024)
def reader_of(scenario: ServingScenario, load: ClosedLoad) -> PromptReader:
    """A replica of the scenario that only reads prompts."""
    costs, _ = prices(scenario)
    step_tokens = scenario.engine.scheduler.max_step_tokens
    ranks = scenario.degrees.attention_data * scenario.degrees.pipeline
    alone_s = prompt_alone_s(costs, load, step_tokens) + scenario.engine.host.request.value
    return PromptReader(
        read_per_s=ranks * prompts_per_s(costs, load, step_tokens),
        alone_s=alone_s,
        load=load,
        ranks=ranks,
    )


def _quantile_s(above: float, share: float, mean_s: float) -> float:
    """The wait that so many prompts exceed."""
    return 0.0 if share <= above else mean_s / share * log(share / above)
