"""The steady state of a closed load in closed form.

    C   clients of a rank      I, O   mean tokens of prompt and answer      B   sequences that run

Every answer takes O steps, and while it runs the B − 1 others put their prompts into the same
steps: TPOT = decode(B) + (B − 1) prompt / O. B follows from the KV cache, and from the share of
its time that a request runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.serving.step import Prompt

if TYPE_CHECKING:
    from planner.arrays import Floats
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
    left, before, total_s = round(load.mean_read), load.shared, 0.0
    while left:
        tokens = min(left, max_step_tokens)
        total_s += costs.prompt_s(0, 0.0, [Prompt(tokens, before)])
        left, before = left - tokens, before + tokens
    return total_s


def prompts_per_s(costs: StepCosts, load: ClosedLoad, max_step_tokens: int) -> float:
    """Mean prompts that one rank reads in a second when its steps are full."""
    parts = round(max_step_tokens / load.mean_read)
    if parts > 1:
        step = [Prompt(max_step_tokens // parts, load.shared)] * parts
    else:
        before = max(0, round(load.mean_read - max_step_tokens) // 2)
        step = [Prompt(max_step_tokens, load.shared + before)]
    full_s = costs.prompt_s(0, 0.0, step)
    return max_step_tokens / load.mean_read / full_s


def held_requests(memory: ServingMemory, load: ClosedLoad) -> float:
    """Mean requests, half written, that the KV cache holds beside what all prompts share."""
    each = memory.request_bytes(load.mean_read + load.mean_output / 2)
    left = memory.kv_bytes - memory.request_bytes(load.shared)
    return max(0.0, left) / each if each else inf


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
    running, tpot_s = running_alone(
        costs,
        memory,
        load,
        clients=np.array([clients]),
        ttft_s=ttft_s,
        most=most,
        steps=load.mean_output,
        arrivals_per_s=arrivals_per_s,
    )
    return Steady(running=float(running[0]), ttft_s=ttft_s, tpot_s=float(tpot_s[0]))


def running_alone(
    costs: StepCosts,
    memory: ServingMemory,
    load: ClosedLoad,
    *,
    clients: Floats,
    ttft_s: float,
    most: int,
    steps: float,
    arrivals_per_s: float = inf,
) -> tuple[Floats, Floats]:
    """B and TPOT [L] of ranks with so many `clients` [L], whose requests wait `ttft_s` and then
    take part in `steps` steps that hold no prompts."""
    room = held_requests(memory, load)
    limit = np.maximum(1.0, np.minimum(clients, min(float(most), room)))
    running, tpot_s = limit, np.zeros_like(limit)
    for _ in range(_ROUNDS):
        sequences = np.maximum(1, np.rint(running)).astype(np.int64)
        context: Floats = np.float64(load.mean_input + load.mean_output / 2) * sequences
        tpot_s = costs.decode_many_s(sequences, context)
        answer_s = steps * tpot_s
        busy = np.minimum(clients * answer_s / (ttft_s + answer_s), arrivals_per_s * answer_s)
        running = (running + np.minimum(limit, np.maximum(1.0, busy))) / 2
    return running, tpot_s
