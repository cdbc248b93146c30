"""The steady state of a closed load in closed form.

    C   clients of a rank      I, O   mean tokens of prompt and answer      B   sequences that run

Every answer takes O steps, and while it runs the B − 1 others put their prompts into the same
steps: TPOT = decode(B) + (B − 1) prompt / O. B follows from the KV cache, and from the share of
its time that a request runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.serving.step import Prompt

if TYPE_CHECKING:
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.memory import ServingMemory
    from planner.serving.step import StepCosts

_ROUNDS = 30
"""Of the iteration, which halves its error in each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """Means. `running` is of one rank."""

    running: float
    ttft_s: float
    tpot_s: float


def prompt_alone_s(costs: StepCosts, load: ClosedLoad, max_step_tokens: int) -> float:
    """Seconds of one mean prompt by itself, in as many steps as it takes."""
    left, before, total_s = round(load.mean_input), 0, 0.0
    while left:
        tokens = min(left, max_step_tokens)
        total_s += costs.prompt_s(0, 0.0, [Prompt(tokens, before)])
        left, before = left - tokens, before + tokens
    return total_s


def decode_pool(
    costs: StepCosts,
    memory: ServingMemory,
    load: ClosedLoad,
    *,
    clients: float,
    ttft_s: float,
    most: int,
) -> Steady:
    """Decoding alone, where prompts are read elsewhere and take `ttft_s`: the B that makes arrivals
    and ends equal, C · O TPOT / (TTFT + O TPOT)."""
    each = memory.request_bytes(load.mean_input + load.mean_output / 2)
    limit = max(1.0, min(clients, most, memory.kv_bytes / each if each else clients))
    running, tpot_s = limit, 0.0
    for _ in range(_ROUNDS):
        sequences = max(1, round(running))
        context = sequences * (load.mean_input + load.mean_output / 2)
        tpot_s = costs.decode_s(sequences, context)
        answer_s = load.mean_output * tpot_s
        running = (running + min(limit, clients * answer_s / (ttft_s + answer_s))) / 2
    return Steady(running=running, ttft_s=ttft_s, tpot_s=tpot_s)
