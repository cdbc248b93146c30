"""Searching serving plans for requests that come at times of their own."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from planner.budget import UNLIMITED
from planner.serving.estimate import prices
from planner.serving.load.arrivals import Stream
from planner.serving.load.simulate import Simulation, Work
from planner.serving.open_estimate import estimate_open, intensity_of
from planner.serving.search.job import ServingJob
from planner.serving.search.result import Objective, value_of
from planner.serving.search.search import search_serving
from planner.serving.search.space import Allowed, space_of
from planner.serving.writing import writer_of
from planner.specs.serving_load import ServiceLevel
from tests.serving.test_search import ALLOWED, LOAD, job
from tests.serving.test_steps import scenario

RATE = 30.0
SLO = ServiceLevel.model_validate({"ttft": {"p99": "60 ms"}, "tpot": {"mean": "9 ms"}})


@pytest.fixture(autouse=True)
def _few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ones by hand and in a search, so that it does not count how many there are."""
    monkeypatch.setattr("planner.serving.load.arrivals.DRAWN", 200)
    monkeypatch.setattr("planner.serving.open_estimate._SATURATED", 200)


def open_job(
    objective: Objective = "devices",
    *,
    rate: float = RATE,
    slo: ServiceLevel | None = SLO,
    allowed: Allowed = ALLOWED,
    engine: str = "vllm",
) -> ServingJob:
    given = job(objective, slo=slo, allowed=allowed, engine=engine)
    return replace(given, clients=None, stream=Stream(closed=LOAD, rate_per_s=rate))


def kept(given: ServingJob, kind_rates: list[float]) -> dict[tuple[int, float], bool]:
    """Of every kind and rate of one replica whether the limits are kept, simulated by hand."""
    assert given.stream is not None
    found = {}
    space = space_of(
        given.cluster.node_groups, given.rooms, given.model, given.engine, given.allowed, given.load
    )
    for kind, rate in product(space.kinds, kind_rates):
        load = given.stream.dealt(rate, 1, rate)
        if not intensity_of(kind.scenario, load).keeps_up:
            found[kind.devices, rate] = False
            continue
        one = estimate_open(kind.scenario, load)
        found[kind.devices, rate] = given.goal.excess(one.ttft, one.tpot) <= 1
    return found


def test_the_fewest_devices_are_brute_force() -> None:
    given = open_job()
    by_hand = kept(given, [RATE / replicas for replicas in range(1, 9)])
    enough = [
        round(RATE / rate) * devices
        for (devices, rate), keeps in by_hand.items()
        if keeps and round(RATE / rate) * devices <= 8
    ]
    result = search_serving(given, top=2, budget=UNLIMITED)
    best = result.offers[0]
    assert best.forecast.devices == min(enough) < 8
    assert result.proven
    assert not best.missed
    assert best.forecast.requests_per_s == pytest.approx(RATE)
    assert len(result.offers) == 1 or result.offers[1].forecast.devices >= min(enough)


def test_the_highest_rate_is_within_its_gap_of_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough requests that a higher rate is not answered sooner by chance."""
    monkeypatch.setattr("planner.serving.load.arrivals.DRAWN", 1500)
    allowed = replace(ALLOWED, tensor=(2, 8))
    given = open_job("throughput", rate=1.0, allowed=allowed)
    rates = np.geomspace(15, 60, 6).tolist()
    by_hand = max(
        rate * (8 // devices) for (devices, rate), keeps in kept(given, rates).items() if keeps
    )
    result = search_serving(given, top=1, budget=UNLIMITED)
    (best,) = result.offers
    assert best.forecast.requests_per_s >= 0.98 * by_hand
    assert result.bound is not None
    assert result.bound >= 0.99 * by_hand * LOAD.mean_output
    assert result.gap is not None
    assert result.gap < 0.011
    found = value_of("throughput", best)
    assert found is not None
    narrow = replace(ALLOWED, tensor=(8,))
    part = search_serving(open_job("throughput", allowed=narrow), top=1, budget=UNLIMITED)
    assert part.offers[0].forecast.output_tokens_per_s <= found * 1.01


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_pools_share_a_rate_and_degrees_that_can_be_handed_over(engine: str) -> None:
    allowed = replace(ALLOWED, disaggregated=True)
    (offer,) = search_serving(
        open_job(allowed=allowed, engine=engine, slo=None), top=1, budget=UNLIMITED
    ).offers
    pools = {pool.role: pool for pool in offer.plan.pools}
    assert set(pools) == {"prefill", "decode"}
    for pool in pools.values():
        assert pool.requests_per_s is not None
        assert pool.replicas * pool.requests_per_s == pytest.approx(RATE)
    read, written = pools["prefill"].tensor, pools["decode"].tensor
    assert written % read == 0 or (engine == "sglang" and read % written == 0)


def test_a_rate_that_is_too_high_says_how_many_and_what_gives_way() -> None:
    few = replace(ALLOWED, tensor=(1, 8))
    result = search_serving(open_job(rate=4000.0, allowed=few), top=1, budget=UNLIMITED)
    assert not result.offers
    assert result.stopped == "proven"
    first, *others = result.relaxations
    (most,) = search_serving(open_job("throughput", allowed=few), top=1, budget=UNLIMITED).offers
    assert float(first.split("at most ")[1].split()[0]) == pytest.approx(
        most.forecast.requests_per_s, rel=0.02
    )
    assert {one.split(":")[0] for one in others} <= {"ttft p99", "tpot mean"}
    assert others


def test_answers_of_prompts_read_elsewhere_are_those_of_the_closed_form() -> None:
    """Even arrivals at half of the highest rate: every step holds the B of Little's law."""
    one = scenario(tensor=8)
    costs, memory = prices(one)
    writer = writer_of(one, LOAD)
    held = 40.0
    rate = writer.per_s(held)
    lengths = [(540, 108)] * 3000
    work = Work(
        lengths=lengths,
        clients=len(lengths),
        at_s=[at / rate for at in range(len(lengths))],
        read_elsewhere=True,
    )
    served, _ = Simulation(
        costs, memory, one.engine.scheduler, work, turn_s=0.0, intake_s=0.0
    ).run()
    late = [found.tpot_s for found in served[1000:] if found.tpot_s is not None]
    assert np.mean(late) == pytest.approx(writer.tpot_s(held), rel=0.02)
    assert all(found.ttft_s == 0 for found in served)
