"""How replicas answer requests that come at times of their own, and how many they can.

Of a pool that reads prompts, answers have one token; to a pool that writes answers, prompts come
with their KV cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from math import ceil
from typing import TYPE_CHECKING

from planner.serving.estimate import ServingEstimate, check_room, late_s, prices
from planner.serving.latency import Latency
from planner.serving.load.reuse import reused_tokens
from planner.serving.load.simulate import Served, Simulation, Work
from planner.serving.load.steady import held_requests
from planner.specs.trace import BLOCK_TOKENS

if TYPE_CHECKING:
    from planner.plan.serving import Role
    from planner.serving.load.arrivals import OpenLoad
    from planner.serving.memory import ServingMemory
    from planner.serving.scenario import ServingScenario

_SATURATED = 4000
"""Requests at least, of a closed loop whose clients fill the replica."""
_FEWEST_ROUNDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """Requests per second that come, and that a replica answers at most."""

    rate_per_s: float
    highest_per_s: float

    @property
    def keeps_up(self) -> bool:
        """Whether the queue stays finite."""
        return self.rate_per_s < self.highest_per_s

    @property
    def share(self) -> float:
        """What comes over what can be answered."""
        return self.rate_per_s / self.highest_per_s

    def __str__(self) -> str:
        more = self.rate_per_s - self.highest_per_s
        return (
            f"{self.rate_per_s:.4g} requests come in a second, and the replica answers at most "
            f"{self.highest_per_s:.4g}: {more:.3g} ({more / self.highest_per_s:.0%}) too many"
        )


def intensity_of(scenario: ServingScenario, load: OpenLoad, role: Role = "aggregated") -> Intensity:
    """What comes against what the replicas answer of the same requests, in their order and again
    from the first, with as many clients as it holds: clients over the mean time of a request
    (Little 1961), without the first and the last request of each.

    Raises: RuleError("memory") as `estimate`.
    """
    costs, memory = prices(scenario)
    check_room(scenario, memory, load.closed)
    engine, lanes = scenario.engine, _lanes(scenario, load)
    held = min(held_requests(memory, load.closed), engine.scheduler.max_running)
    clients = max(1, ceil(held))
    rounds = max(_FEWEST_ROUNDS, ceil(_SATURATED / clients))
    works = [
        _work_of(scenario, memory, load, (lane, lanes), role)
        for lane in range(min(lanes, len(load.lengths)))
    ]
    lengths = list(chain.from_iterable(work.lengths for work in works))
    reused = list(chain.from_iterable(work.reused for work in works))
    picks = [at % len(lengths) for at in range(clients * rounds)]
    request_s = engine.host.request.value
    served, _ = Simulation(
        costs,
        memory,
        engine.scheduler,
        Work(
            lengths=[lengths[at] for at in picks],
            clients=clients,
            shared=load.closed.shared,
            reused=[reused[at] for at in picks] if reused else (),
            read_elsewhere=role == "decode",
        ),
        turn_s=request_s,
        intake_s=engine.host.intake.value / _ranks(scenario),
        token_intake_s=engine.host.token_intake.value / _ranks(scenario),
    ).run()
    inner = [one for one in served if 0 < one.round < rounds - 1]
    taken_s = sum(one.ttft_s + (one.tpot_s or 0.0) * (one.output_tokens - 1) for one in inner)
    per_s = lanes * clients / (taken_s / len(inner) + request_s)
    return Intensity(rate_per_s=load.rate_per_s, highest_per_s=per_s)


def estimate_open(
    scenario: ServingScenario, load: OpenLoad, role: Role = "aggregated"
) -> ServingEstimate:
    """Every request of an open load, simulated step by step; replicas, and in them ranks that hold
    requests of their own, take them in turn. In a pool that writes answers, a request's first
    token is the one that it comes with.

    Raises: RuleError("memory") as `estimate`.
    """
    costs, memory = prices(scenario)
    check_room(scenario, memory, load.closed)
    engine, lanes = scenario.engine, _lanes(scenario, load)
    counted: list[Served] = []
    end_s = 0.0
    for lane in range(min(lanes, len(load.lengths))):
        served, last_s = Simulation(
            costs,
            memory,
            engine.scheduler,
            _work_of(scenario, memory, load, (lane, lanes), role),
            turn_s=0.0,
            intake_s=engine.host.intake.value / _ranks(scenario),
            token_intake_s=engine.host.token_intake.value / _ranks(scenario),
        ).run()
        counted += [one for one in served if one.index * lanes + lane >= load.uncounted]
        end_s = max(end_s, last_s)
    late = late_s(counted) * engine.host.late_steps.value + engine.host.request.value
    tpots = [one.tpot_s for one in counted if one.tpot_s is not None]
    rate = load.rate_per_s if load.uncounted else min(load.rate_per_s, len(load.lengths) / end_s)
    return ServingEstimate(
        ttft=Latency.of([one.ttft_s + late for one in counted], [1.0] * len(counted)),
        tpot=Latency.of(tpots, [1.0] * len(tpots)) if tpots else None,
        output_tokens_per_s_per_device=rate
        * load.mean_output
        / (scenario.degrees.devices * load.replicas),
        memory=memory,
    )


def _ranks(scenario: ServingScenario) -> int:
    """Batches of one replica that run side by side."""
    return scenario.degrees.attention_data * scenario.degrees.pipeline


def _lanes(scenario: ServingScenario, load: OpenLoad) -> int:
    """Those of all replicas."""
    return _ranks(scenario) * load.replicas


def _work_of(
    scenario: ServingScenario,
    memory: ServingMemory,
    load: OpenLoad,
    which: tuple[int, int],
    role: Role,
) -> Work:
    """The requests of one rank, `which` of so many."""
    lane, lanes = which
    lengths = load.lengths[lane::lanes]
    if role == "prefill":
        lengths = tuple((prompt, 1) for prompt, _ in lengths)
    blocks = load.blocks[lane::lanes]
    reused: tuple[int, ...] = ()
    if any(blocks) and scenario.engine.keeps_prefixes:
        reused = tuple(reused_tokens(lengths, blocks, memory.kv_tokens // BLOCK_TOKENS))
    return Work(
        lengths=lengths,
        clients=len(lengths),
        at_s=load.at_s[lane::lanes],
        shared=load.closed.shared,
        reused=reused,
        read_elsewhere=role == "decode",
    )
