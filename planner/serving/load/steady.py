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


def prompts_per_s(costs: StepCosts, load: ClosedLoad, max_step_tokens: int) -> float:
    """Mean prompts that one rank reads in a second when its steps are full."""
    parts = round(max_step_tokens / load.mean_input)
    if parts > 1:
        step = [Prompt(max_step_tokens // parts, 0)] * parts
    else:
        step = [Prompt(max_step_tokens, max(0, round(load.mean_input - max_step_tokens) // 2))]
    full_s = costs.prompt_s(0, 0.0, step)
    return max_step_tokens / load.mean_input / full_s


def decode_pool(
    costs: StepCosts,
    memory: ServingMemory,
    load: ClosedLoad,
    *,
    clients: float,
    ttft_s: float,
    arrivals_per_s: float,
    most: int,
) -> Steady:
    """Decoding alone, where prompts are read elsewhere and take `ttft_s`: the B that makes arrivals
    and ends equal, C · O TPOT / (TTFT + O TPOT), and at most what `arrivals_per_s`, as fast as
    prompts can be read for this rank, keep busy (Little 1961)."""
    each = memory.request_bytes(load.mean_input + load.mean_output / 2)
    limit = max(1.0, min(clients, most, memory.kv_bytes / each if each else clients))
    running, tpot_s = limit, 0.0
    for _ in range(_ROUNDS):
        sequences = max(1, round(running))
        context = sequences * (load.mean_input + load.mean_output / 2)
        tpot_s = costs.decode_s(sequences, context)
        answer_s = load.mean_output * tpot_s
        busy = min(clients * answer_s / (ttft_s + answer_s), arrivals_per_s * answer_s)
        running = (running + min(limit, max(1.0, busy))) / 2
    return Steady(running=running, ttft_s=ttft_s, tpot_s=tpot_s)
