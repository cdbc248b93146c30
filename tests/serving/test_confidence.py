"""The chance that limits are kept, and searches that ask for one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import api
from planner.serving.accuracy import chance_kept, share_held, shares_of, tightened
from planner.specs.serving_load import LatencyLimit, ServiceLevel

if TYPE_CHECKING:
    from pathlib import Path

SHARES = (0.8, 1.5)


def test_ranges_that_hold_nine_of_ten_have_a_twentieth_on_either_side() -> None:
    assert chance_kept(1.0, 0.8, SHARES) == pytest.approx(0.05)
    assert chance_kept(1.0, 1.5, SHARES) == pytest.approx(0.95)
    assert share_held(0.95, SHARES) == pytest.approx(1.5)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 0.99), st.floats(1e-4, 10), st.floats(0.3, 0.99), st.floats(1.01, 3))
def test_a_limit_over_the_share_is_kept_with_the_chance(
    confidence: float, seconds: float, low: float, high: float
) -> None:
    limit_s = seconds * share_held(confidence, (low, high))
    assert chance_kept(seconds, limit_s, (low, high)) == pytest.approx(confidence)


def test_every_stated_limit_is_tightened_and_no_other() -> None:
    slo = ServiceLevel(tpot=LatencyLimit.model_validate({"mean": "20 ms", "p99": "30 ms"}))
    found = tightened(slo, 0.9, mixture=True)
    share = share_held(0.9, shares_of(mixture=True).tpot)
    assert found.ttft is None
    assert found.tpot is not None
    assert found.tpot.mean == pytest.approx(0.02 / share)
    assert found.tpot.p99 == pytest.approx(0.03 / share)
    assert found.tpot.p50 is None


def test_a_search_keeps_limits_with_the_chance_that_is_asked_for(tmp_path: Path) -> None:
    load = tmp_path / "load.yaml"
    load.write_text("requests: {input: 512, output: 64}\nslo: {tpot: {mean: 12 ms}}\n")
    rates, shares = [], shares_of(mixture=False).tpot
    for confidence in (None, 0.9):
        found = api.search_serving(
            *("dgx-h100-16", "llama-3-8b", load),
            nodes=1, tensor=1, pipeline=1, max_step_tokens=8192, disaggregated=False, top=1,
            confidence=confidence,
        )  # fmt: skip
        tpot = found.best.forecast.tpot
        assert tpot is not None
        assert tpot.mean_s <= 0.012
        if confidence:
            assert chance_kept(tpot.mean_s, 0.012, shares) >= confidence - 1e-6
            assert any("with a chance of 90%" in one for one in found.assumptions)
        rates.append(found.best.forecast.output_tokens_per_s)
    assert rates[1] < rates[0]


def test_a_confidence_needs_limits(tmp_path: Path) -> None:
    load = tmp_path / "load.yaml"
    load.write_text(json.dumps({"requests": {"input": 512, "output": 64}, "concurrency": 8}))
    with pytest.raises(api.InputError, match="--confidence needs limits of latencies"):
        api.search_serving("dgx-h100-16", "llama-3-8b", load, nodes=1, confidence=0.9)
