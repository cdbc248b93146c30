"""How a replica serves a load: latencies by percentile, and throughput."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from planner.errors import RuleError
from planner.serving.held import HeldPrices
from planner.serving.latency import Latency
from planner.serving.load.simulate import Served, Simulation, Work
from planner.serving.load.steady import Steady, decode_pool, prompt_alone_s, prompts_per_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.memory import ServingMemory
    from planner.serving.scenario import ServingScenario
    from planner.serving.step import StepCosts

_ENOUGH = 300
"""Requests of one rank that a simulation takes when a load has more; at least three rounds, and the
middle ones count for those left out."""
_FEWEST_ROUNDS = 3
_HELD = HeldPrices()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingEstimate:
    """Of one replica. `tpot` is (end - first token)/(tokens - 1) of a request; None where answers
    have one token."""

    ttft: Latency
    tpot: Latency | None
    output_tokens_per_s_per_device: float
    memory: ServingMemory


@lru_cache(maxsize=4096)
def estimate(scenario: ServingScenario, load: ClosedLoad) -> ServingEstimate:
    """The load on one replica, simulated step by step.

    Raises: RuleError("memory") when the weights leave no room for one request.
    """
    costs, memory = prices(scenario)
    check_room(scenario, memory, load)
    degrees, engine = scenario.degrees, scenario.engine
    lanes = degrees.attention_data * degrees.pipeline
    clients = max(1, round(load.concurrency / lanes))
    rounds = min(load.rounds, max(_FEWEST_ROUNDS, -(-_ENOUGH // clients)))
    request_s = engine.host.request.value
    served, end_s = Simulation(
        costs,
        memory,
        engine.scheduler,
        Work(
            lengths=[load.lengths(index) for index in range(clients * rounds)],
            clients=clients,
            shared=load.shared,
        ),
        turn_s=request_s,
        intake_s=engine.host.intake.value / lanes,
        token_intake_s=engine.host.token_intake.value / lanes,
    ).run()
    weights = [_weight(one.round, rounds, load.rounds) for one in served]
    timed = [(one.tpot_s, weight) for one, weight in zip(served, weights, strict=True)]
    after_s = request_s + late_s(served) * engine.host.late_steps.value
    ttft = Latency.of([one.ttft_s + after_s for one in served], weights)
    known = [(tpot_s, weight) for tpot_s, weight in timed if tpot_s is not None]
    tpot = Latency.of([t for t, _ in known], [w for _, w in known]) if known else None
    rate = _rate(served, weights, clients, request_s) if load.rounds > 1 else _whole(served, end_s)
    share = min(load.concurrency, lanes * clients) / clients
    return ServingEstimate(
        ttft=ttft,
        tpot=tpot,
        output_tokens_per_s_per_device=rate * share / degrees.devices,
        memory=memory,
    )


def estimate_decode_pool(
    prefill: ServingScenario,
    decode: ServingScenario,
    load: ClosedLoad,
    *,
    prefill_replicas: int,
    decode_replicas: int,
) -> Steady:
    """Decoding replicas behind a pool that reads prompts, in closed form.

    Raises: RuleError("memory") as `estimate`.
    """
    costs, memory = prices(decode)
    check_room(decode, memory, load)
    prompt_costs, _ = prices(prefill)
    step_tokens = prefill.engine.scheduler.max_step_tokens
    ttft_s = prompt_alone_s(prompt_costs, load, step_tokens) + prefill.engine.host.request.value
    reading = prefill_replicas * prefill.degrees.attention_data
    read_per_s = reading * prompts_per_s(prompt_costs, load, step_tokens)
    lanes = decode_replicas * decode.degrees.attention_data * decode.degrees.pipeline
    return decode_pool(
        costs,
        memory,
        load,
        clients=max(1.0, load.concurrency / lanes),
        ttft_s=ttft_s,
        arrivals_per_s=read_per_s / lanes,
        most=decode.engine.scheduler.max_running,
    )


def prices(scenario: ServingScenario) -> tuple[StepCosts, ServingMemory]:
    """Steps and memory of a scenario, worked out once as long as there is room for its tables."""
    return _HELD.of(scenario)


def forget_prices() -> None:
    """Free what was worked out for scenarios that will not be asked for again."""
    estimate.cache_clear()
    _HELD.clear()


def holds_a_request(memory: ServingMemory, load: ClosedLoad) -> bool:
    """Whether the KV cache has room for the longest request."""
    return memory.request_bytes(load.input_tokens + load.output_tokens) <= memory.kv_bytes


def check_room(scenario: ServingScenario, memory: ServingMemory, load: ClosedLoad) -> None:
    if not holds_a_request(memory, load):
        raise RuleError(
            "memory",
            f"{scenario.model.name} in {scenario.weights} leaves {memory.kv_tokens:,} tokens of KV "
            f"cache on {scenario.degrees.devices} x {scenario.device.name}; a request has "
            f"{load.input_tokens + load.output_tokens:,}",
        )


def late_s(served: Sequence[Served]) -> float:
    """Seconds of a mean step, as far as requests saw any."""
    steps = [one.tpot_s for one in served if one.tpot_s is not None]
    return sum(steps) / len(steps) if steps else 0.0


def _weight(round_: int, simulated: int, stated: int) -> float:
    """Of a request: the first and the last round as they are, the middle ones for all others."""
    if simulated == stated or round_ in (0, simulated - 1):
        return 1.0
    return (stated - 2) / (simulated - 2)


def _whole(served: Sequence[Served], end_s: float) -> float:
    """Output tokens per second of a rank whose requests all start at once."""
    return sum(one.output_tokens for one in served) / end_s


def _rate(
    served: Sequence[Served], weights: Sequence[float], clients: int, request_s: float
) -> float:
    """Output tokens per second of all clients of a rank: each has one request after the other."""
    tokens = sum(one.output_tokens * w for one, w in zip(served, weights, strict=True))
    busy_s = sum(
        (one.ttft_s + request_s + (one.tpot_s or 0.0) * (one.output_tokens - 1)) * w
        for one, w in zip(served, weights, strict=True)
    )
    return clients * tokens / busy_s
