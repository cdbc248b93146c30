"""Drafts of tokens: what a step with them costs, gains and holds."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from planner.api import load_model
from planner.serving.drafting import drafting_of
from planner.serving.estimate import prices
from planner.serving.load.simulate import Simulation, Work
from planner.serving.scenario import ServingScenario
from planner.serving.step import Prompt
from planner.specs.drafts import Drafts
from tests.serving.test_steps import scenario

B, CONTEXT, K = 12, 12_000.0, 3


def drafted(method: str, **stated: Any) -> ServingScenario:
    one = scenario(tensor=8)
    drafts = Drafts.model_validate({"method": method, "tokens": K, "accepted": 0.6, **stated})
    drafter = None if drafts.model is None else load_model(drafts.model)
    return ServingScenario(
        model=one.model,
        device=one.device,
        engine=one.engine,
        weights=one.weights,
        kv=one.kv,
        degrees=one.degrees,
        stated_link_bytes_per_s=one.stated_link_bytes_per_s,
        drafting=drafting_of(drafts, one.model, drafter),
    )


@pytest.mark.parametrize("accepted", [0.0, 0.35, 1.0])
def test_tokens_of_a_step_are_counted_over_all_outcomes(accepted: float) -> None:
    """Every draft is kept or not; those before the first that is not count, and one more."""
    drafts = Drafts(method="ngram", tokens=K, accepted=accepted)
    mean = 0.0
    for kept in product((True, False), repeat=K):
        chance = 1.0
        for one in kept:
            chance *= accepted if one else 1 - accepted
        mean += chance * (1 + (kept.index(False) if False in kept else K))
    assert drafts.tokens_per_step == pytest.approx(mean)


def test_a_step_checks_all_drafts_and_reads_the_cache_once() -> None:
    """Free drafts: a step of k + 1 times the sequences over the same cache, for E tokens each."""
    plain, _ = prices(scenario(tensor=8))
    costs, _ = prices(drafted("ngram"))
    host_s = scenario(tensor=8).engine.host.per_sequence.value * B * K
    step_s = plain.decode_s(B * (K + 1), CONTEXT) - host_s
    assert costs.decode_s(B, CONTEXT) * costs.tokens_per_step == pytest.approx(step_s, rel=5e-3)
    assert costs.prompt_s(0, 0.0, [Prompt(500, 0)]) == pytest.approx(
        plain.prompt_s(0, 0.0, [Prompt(500, 0)]), rel=5e-3
    )


def test_a_model_that_drafts_takes_time_and_memory() -> None:
    free, held = prices(drafted("ngram"))
    costs, memory = prices(drafted("model", model="llama-3-8b"))
    alone = drafted("model", model="llama-3-8b").drafter
    assert alone is not None
    small, beside = prices(alone)
    host_s = small.decode_s(B, CONTEXT) - small._device_s[B] - small._reading_s(B, CONTEXT)
    assert (costs.decode_s(B, CONTEXT) - free.decode_s(B, CONTEXT)) * costs.tokens_per_step == (
        pytest.approx(K * (small.decode_s(B, CONTEXT) - host_s), rel=1e-4)
    )
    assert memory.weight_bytes == pytest.approx(held.weight_bytes + beside.weight_bytes)
    each = [sum(size for _, size in one.windows) for one in (memory, held, beside)]
    assert each[0] == pytest.approx(each[1] + each[2])


def test_no_token_is_lost_or_counted_twice() -> None:
    one = drafted("ngram")
    costs, memory = prices(one)
    lengths = [(300 + 7 * at, 40 + at % 11) for at in range(120)]
    run = Simulation(
        costs, memory, one.engine.scheduler, Work(lengths=lengths, clients=9), turn_s=0, intake_s=0
    )
    served, _ = run.run()
    assert sum(found.output_tokens for found in served) == sum(answer for _, answer in lengths)
    assert run._state.context == pytest.approx(0, abs=1e-6)
