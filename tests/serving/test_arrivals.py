"""Open loads against the theory of queues, and distributions of lengths."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from statistics import fmean

import numpy as np
import pytest

from planner.serving.estimate import estimate, prices
from planner.serving.load.arrivals import drawn
from planner.serving.load.lengths import ClosedLoad, LengthTable
from planner.serving.load.simulate import Simulation, Work
from planner.serving.open_estimate import estimate_open, intensity_of
from planner.serving.search.bounds import bounds_of
from planner.serving.search.space import ReplicaKind
from planner.serving.step import Prompt
from planner.serving.waiting import reader_of
from tests.serving.test_steps import scenario

READ = ClosedLoad(concurrency=1, input_tokens=4096, output_tokens=1)


UNEQUAL = LengthTable.of([1024, 6144], [0.7, 0.3])


@pytest.mark.parametrize(("lengths", "share"), [(None, 0.5), (None, 0.7), (UNEQUAL, 0.5)])
def test_waits_are_those_of_pollaczek_and_khinchine(
    lengths: LengthTable | None, share: float
) -> None:
    """One prompt in a step, answers of one token: a queue with one server. Each waits as Lindley's
    recursion says, and on average λ E[S²]/(2 (1 − ρ))."""
    one = scenario(tensor=8)
    costs, memory = prices(one)
    rule = one.engine.scheduler.model_copy(update={"max_step_tokens": 1024, "chunked": False})
    load = replace(READ, inputs=lengths)
    random = Random(3)
    drawn_lengths = [load.lengths_at(random.random(), 0.5) for _ in range(20_000)]
    took_s = {
        prompt: sum(
            costs.prompt_s(0, 0.0, [Prompt(1024, before)]) for before in range(0, prompt, 1024)
        )
        for prompt, _ in set(drawn_lengths)
    }
    services_s = [took_s[prompt] for prompt, _ in drawn_lengths]
    rate = share / fmean(services_s)
    at_s, clock_s = [], 0.0
    for _ in drawn_lengths:
        clock_s += random.expovariate(rate)
        at_s.append(clock_s)
    work = Work(lengths=drawn_lengths, clients=len(at_s), at_s=at_s)
    served, _ = Simulation(costs, memory, rule, work, turn_s=0.0, intake_s=0.0).run()
    queued_s, by_recursion = 0.0, []
    for took, gap in zip(services_s, [*np.diff(at_s), 0.0], strict=True):
        by_recursion.append(queued_s + took)
        queued_s = max(0.0, queued_s + took - gap)
    assert [one.ttft_s for one in served] == pytest.approx(by_recursion, rel=1e-6)
    waited_s = fmean(found.ttft_s for found in served) - fmean(services_s)
    square = fmean(one_s**2 for one_s in services_s)
    assert waited_s == pytest.approx(rate * square / (2 * (1 - share)), rel=0.06)


def test_readers_in_closed_form_are_close_to_the_simulation() -> None:
    """Prefill pools in a search are that queue: mean and percentiles of TTFT at half its rate."""
    one = scenario(tensor=8)
    load = replace(READ, input_tokens=8192)
    reader = reader_of(one, load)
    found = estimate_open(
        one, drawn(load, rate_per_s=0.5 * reader.read_per_s, poisson=True, seed=2)
    ).ttft
    expected = reader.ttft(0.5, 0.0)
    assert found.mean_s == pytest.approx(expected.mean_s, rel=0.05)
    assert found.p95_s == pytest.approx(expected.p95_s, rel=0.12)


def test_a_replica_keeps_up_below_its_highest_rate_only() -> None:
    one = scenario(tensor=8)
    load = ClosedLoad(concurrency=1, input_tokens=8000, output_tokens=40, least=0.5)
    highest = intensity_of(one, drawn(load, rate_per_s=1, poisson=False, seed=1)).highest_per_s

    def first_and_second_half_s(share: float) -> tuple[float, float]:
        requests = drawn(load, rate_per_s=share * highest, poisson=False, seed=1)
        late = estimate_open(one, replace(requests, uncounted=3000)).ttft.mean_s
        return estimate_open(one, requests).ttft.mean_s, late

    below, above = first_and_second_half_s(0.95), first_and_second_half_s(1.05)
    assert below[1] < 1.2 * below[0]
    assert above[1] > 1.4 * above[0]


def test_a_lognormal_has_the_stated_mean_and_percentile() -> None:
    table = LengthTable.lognormal(1024, 3000)
    assert table.mean == pytest.approx(1024, rel=1e-3)
    assert table.at(0.95) == pytest.approx(3000, rel=0.01)
    assert LengthTable.of([10, 30], [0.75, 0.25]).mean == 15
    assert LengthTable.of([10, 30]).variation == pytest.approx(0.25)


def test_a_shared_prefix_is_read_once() -> None:
    """By hand: 800 of 1,000 tokens are kept after the first prompt."""
    one = scenario(tensor=8)
    costs, _ = prices(one)
    load = ClosedLoad(concurrency=1, input_tokens=1000, output_tokens=2, rounds=2, shared=800)
    found = estimate(one, load)
    apart_s = costs.prompt_s(0, 0, [Prompt(1000, 0)]) - costs.prompt_s(0, 0, [Prompt(200, 800)])
    assert found.ttft.p99_s - found.ttft.median_s == pytest.approx(apart_s)


@pytest.mark.parametrize("shared", [0, 512])
def test_bounds_hold_for_distributions(shared: int) -> None:
    """No simulation of unequal lengths answers more or sooner than the closed form of the means."""
    one = scenario(tensor=8)
    load = ClosedLoad(
        concurrency=1,
        input_tokens=4000,
        output_tokens=900,
        rounds=3,
        inputs=LengthTable.of([600, 1000, 4000], [0.4, 0.4, 0.2]),
        outputs=LengthTable.lognormal(150, 400),
        shared=shared,
    )
    kind = ReplicaKind(index=0, group=0, scenario=one, most=1, usual=True)
    for clients in (1.0, 8.0, 64.0):
        found = estimate(one, replace(load, concurrency=clients, rounds=10))
        bound = bounds_of(kind, load, np.array([clients]))
        per_s = found.output_tokens_per_s_per_device * 8 / load.mean_output
        assert per_s <= 1.001 * bound.rate[0]
        assert found.ttft.mean_s >= 0.999 * bound.ttft_s[0]
