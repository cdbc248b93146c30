"""Searching serving plans: brute force over equal replicas, bounds, pools and their balance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.api import load_cluster, load_model
from planner.budget import UNLIMITED
from planner.serving.deployment import PoolPart, forecast_of
from planner.serving.estimate import estimate
from planner.serving.load.lengths import ClosedLoad
from planner.serving.search.bounds import bounds_of
from planner.serving.search.goal import goal_of
from planner.serving.search.job import ServingJob
from planner.serving.search.result import Objective, value_of
from planner.serving.search.search import search_serving
from planner.serving.search.space import Allowed, space_of
from planner.serving.waiting import reader_of
from planner.specs.engine import load_engine
from planner.specs.serving_load import ServiceLevel

LOAD = ClosedLoad(concurrency=24, input_tokens=600, output_tokens=120, least=0.8, rounds=4)
ALLOWED = Allowed(
    weights=("bf16",),
    kv_formats=("bf16",),
    pipeline=(1,),
    max_step_tokens=(8192,),
    disaggregated=False,
)


def job(
    objective: Objective = "throughput",
    *,
    cluster: str = "dgx-h100-16",
    model: str = "llama-3-8b",
    slo: ServiceLevel | None = None,
    allowed: Allowed = ALLOWED,
    load: ClosedLoad = LOAD,
    nodes: int = 1,
    engine: str = "vllm",
) -> ServingJob:
    spec = load_cluster(cluster).sized(nodes=nodes)
    return ServingJob(
        cluster=spec,
        model=load_model(model),
        engine=load_engine(engine),
        load=load,
        clients=float(load.concurrency),
        goal=goal_of(objective, slo, spec),
        allowed=allowed,
    )


def all_equal(given: ServingJob) -> list[tuple[int, float, float]]:
    """Devices, output tokens per second and mean TPOT of every number of replicas of every kind."""
    space = space_of(
        given.cluster.node_groups, given.rooms, given.model, given.engine, given.allowed, given.load
    )
    found = []
    for kind in space.kinds:
        for replicas in range(1, kind.most + 1):
            one = estimate(kind.scenario, replace(given.load, concurrency=24 / replicas))
            devices = replicas * kind.devices
            assert one.tpot is not None
            rate = one.output_tokens_per_s_per_device * devices
            found.append((devices, rate, one.tpot.mean_s))
    return found


def test_equal_replicas_are_brute_force() -> None:
    given = job()
    every = all_equal(given)
    result = search_serving(given, top=3, budget=UNLIMITED)
    best = max(rate for _, rate, _ in every)
    assert value_of("throughput", result.offers[0]) == pytest.approx(best)
    assert result.bound is not None
    assert result.bound >= best * (1 - 1e-9)
    slow = sorted(tpot for _, _, tpot in every)[len(every) // 3]
    limit = ServiceLevel.model_validate({"tpot": {"mean": f"{1e3 * slow:.9f} ms"}})
    fewest = search_serving(job("devices", slo=limit), top=1, budget=UNLIMITED)
    by_hand = min(devices for devices, _, tpot in every if tpot <= slow * (1 + 1e-6))
    assert fewest.offers[0].forecast.devices == by_hand
    assert not fewest.offers[0].missed


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("tokens", [(64, 200), (3000, 60)])
def test_no_simulation_is_faster_than_its_bound(engine: str, tokens: tuple[int, int]) -> None:
    load = replace(LOAD, input_tokens=tokens[0], output_tokens=tokens[1])
    given = job(engine=engine, load=load)
    space = space_of(
        given.cluster.node_groups, given.rooms, given.model, given.engine, given.allowed, load
    )
    for kind in space.kinds:
        for held in (1.0, 7.0, 24.0, 90.0):
            found = estimate(kind.scenario, replace(load, concurrency=held))
            drawn = as_drawn(load, max(1, round(held / kind.lanes)))
            bounds = bounds_of(kind, drawn, np.array([held]))
            rate = found.output_tokens_per_s_per_device * kind.devices / drawn.mean_output
            assert rate <= bounds.rate[0]
            assert found.ttft.mean_s >= bounds.ttft_s[0] * 0.99


def as_drawn(load: ClosedLoad, clients: int) -> ClosedLoad:
    """All lengths at the means of those that one rank simulates: bounds are of means, and those of
    a few dozen drawn requests are up to some thousandths off the stated ones."""
    count = clients * min(load.rounds, max(3, -(-300 // clients)))
    prompts, answers = zip(*(load.lengths(index) for index in range(count)), strict=True)
    means = {"input_tokens": sum(prompts) / count, "output_tokens": sum(answers) / count}
    return replace(load, least=1.0, **means)


def test_pools_are_in_balance_and_no_worse_than_equal_replicas() -> None:
    both = replace(ALLOWED, disaggregated=None)
    alone = search_serving(job(), top=1, budget=UNLIMITED)
    either = search_serving(job(allowed=both), top=1, budget=UNLIMITED)
    pools = search_serving(
        job(allowed=replace(ALLOWED, disaggregated=True)), top=1, budget=UNLIMITED
    )
    rates = [one.offers[0].forecast.output_tokens_per_s for one in (alone, pools, either)]
    assert rates[2] >= max(rates[:2]) * (1 - 1e-6)
    (offer,) = pools.offers
    assert {pool.role for pool in offer.plan.pools} == {"prefill", "decode"}
    assert sum(p.replicas * p.clients for p in offer.plan.pools) == pytest.approx(24, rel=1e-6)
    assert offer.plan.devices <= 8
    found = offer.forecast
    cycle_s = found.ttft.mean_s + LOAD.mean_output * (found.tpot.mean_s if found.tpot else 0.0)
    assert found.requests_per_s == pytest.approx(24 / cycle_s, rel=1e-6)


def test_more_readers_shorten_the_wait_and_are_not_the_bound() -> None:
    given = job(allowed=replace(ALLOWED, disaggregated=True))
    space = space_of(
        given.cluster.node_groups, given.rooms, given.model, given.engine, given.allowed, given.load
    )
    scenario = space.kinds[0].scenario
    load = replace(LOAD, input_tokens=16000)
    writer = PoolPart(role="decode", group=0, scenario=scenario, replicas=2, clients=30)
    waits, bounds = [], []
    for readers in (1, 2, 6):
        reader = PoolPart(
            role="prefill", group=0, scenario=scenario, replicas=readers, clients=4 / readers
        )
        found, _ = forecast_of((reader, writer), load)
        read_per_s = readers * reader_of(scenario, load).read_per_s
        assert found.requests_per_s <= read_per_s
        waits.append(found.ttft.mean_s)
        bounds.append(found.bound_by)
    assert waits == sorted(waits, reverse=True)
    assert (bounds[0], bounds[-1]) == ("prefill", "decode")


def test_impossible_limits_say_which_and_by_how_much() -> None:
    slo = ServiceLevel.model_validate({"tpot": {"mean": "0.1 ms"}, "ttft": {"p99": "60 s"}})
    result = search_serving(job(slo=slo), top=1, budget=UNLIMITED)
    assert not result.offers
    assert result.nearest
    (said,) = result.relaxations
    assert said.startswith("tpot mean: no replica reaches less than")
    assert said.endswith("the limit is 0.1 ms")
    assert float(said.split()[-7]) == pytest.approx(
        1e3 * min(tpot for _, _, tpot in all_equal(job())), rel=0.01
    )


def test_a_smaller_space_is_never_better() -> None:
    whole = search_serving(job(), top=1, budget=UNLIMITED)
    for tensor in ((2,), (1, 4)):
        part = search_serving(job(allowed=replace(ALLOWED, tensor=tensor)), top=1, budget=UNLIMITED)
        assert part.offers[0].forecast.output_tokens_per_s <= (
            whole.offers[0].forecast.output_tokens_per_s * (1 + 1e-9)
        )
        assert {pool.tensor for pool in part.offers[0].plan.pools} <= set(tensor)
