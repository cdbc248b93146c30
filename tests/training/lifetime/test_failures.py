"""Goodput against published runs, and against failures drawn at random."""

from __future__ import annotations

import random
from math import exp, factorial, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.training.lifetime.failures import best_interval_s, goodput, spares_needed

MINUTE_S, HOUR_S = 60.0, 3600.0
durations_s = st.floats(1e-3, 1e6)


def best_goodput(stall_s: float, restart_s: float, between_failures_s: float) -> float:
    return goodput(
        interval_s=best_interval_s(stall_s, between_failures_s),
        stall_s=stall_s,
        restart_s=restart_s,
        between_failures_s=between_failures_s,
    )


@pytest.mark.parametrize(
    ("stall_s", "minutes", "share"), [(5, 5.5, 0.920), (30, 13, 0.880)], ids=["copied", "written"]
)
def test_llama_3(stall_s: float, minutes: float, share: float) -> None:
    """16,384 H100, a failure every 3.1 hours: "more than 90 % effective training time" (Grattafiori
    et al. 2024, section 3.3.4), with checkpoints that are written in the background."""
    interval_s = best_interval_s(stall_s, 3.1 * HOUR_S)
    assert interval_s / MINUTE_S == pytest.approx(minutes, rel=0.05)
    assert best_goodput(stall_s, 10 * MINUTE_S, 3.1 * HOUR_S) == pytest.approx(share, abs=0.005)


def test_bloom() -> None:
    """384 A100: 2.3 TB written in 40 s about every 3 hours, one or two failures a week
    (BigScience, chronicles of tr11-176B-ml)."""
    share = goodput(
        interval_s=3 * HOUR_S, stall_s=40, restart_s=HOUR_S, between_failures_s=100 * HOUR_S
    )
    assert share == pytest.approx(0.97, abs=0.005)
    written = 40 / (3 * HOUR_S + 40)
    assert written == pytest.approx(0.0037, rel=0.01)


def test_opt() -> None:
    """992 A100, a failure every 7.5 hours, restarts by hand (Zhang et al. 2022, section 2.5): 33
    days of work took 57, a share of 0.59. Some of that was restarts from older checkpoints, after
    the loss diverged, which are no failures of machines."""
    share = best_goodput(2 * MINUTE_S, 2 * HOUR_S, 7.5 * HOUR_S)
    assert share == pytest.approx(0.70, abs=0.01)
    assert share > 33 / 57


def simulated(
    seed: int, *, interval_s: float, stall_s: float, restart_s: float, between_s: float
) -> float:
    """Wall time of 2,000 intervals, one failure after the other. A segment is an interval of work
    and its checkpoint; a restart may fail too, and starts again."""
    chance = random.Random(seed)
    now_s, next_s = 0.0, chance.expovariate(1 / between_s)

    def through(length_s: float) -> bool:
        nonlocal now_s, next_s
        if now_s + length_s <= next_s:
            now_s += length_s
            return True
        now_s, next_s = next_s, next_s + chance.expovariate(1 / between_s)
        return False

    for _ in range(2000):
        while not through(interval_s + stall_s):
            while not through(restart_s):
                pass
    return 2000 * interval_s / now_s


@pytest.mark.parametrize(
    ("interval_s", "stall_s", "restart_s", "between_s"),
    [(330, 5, 600, 11160), (800, 30, 600, 11160), (900, 120, 3600, 7200), (10800, 40, 3600, 3.6e5)],
)
def test_the_closed_form_is_the_mean_of_simulated_jobs(
    interval_s: float, stall_s: float, restart_s: float, between_s: float
) -> None:
    shares = [
        simulated(
            seed, interval_s=interval_s, stall_s=stall_s, restart_s=restart_s, between_s=between_s
        )
        for seed in range(40)
    ]
    mean = sum(shares) / len(shares)
    expected = goodput(
        interval_s=interval_s, stall_s=stall_s, restart_s=restart_s, between_failures_s=between_s
    )
    assert mean == pytest.approx(expected, abs=0.01)


@given(stall_s=durations_s, restart_s=durations_s, between_s=durations_s)
def test_a_share_is_a_share(stall_s: float, restart_s: float, between_s: float) -> None:
    assert 0.0 <= best_goodput(stall_s, restart_s, between_s) <= 1.0


@given(stall_s=durations_s, between_s=durations_s, factor=st.floats(0.3, 3.0))
def test_no_other_interval_is_much_better(stall_s: float, between_s: float, factor: float) -> None:
    """Daly's estimate of the interval is of a higher order, not exact."""
    if stall_s > between_s / 2:
        return
    interval_s = best_interval_s(stall_s, between_s)

    def share(one_s: float) -> float:
        return goodput(
            interval_s=one_s, stall_s=stall_s, restart_s=0.0, between_failures_s=between_s
        )

    assert share(factor * interval_s) <= share(interval_s) * 1.005


@given(
    stall_s=durations_s, restart_s=durations_s, between_s=durations_s, factor=st.floats(1.01, 10)
)
def test_fewer_failures_and_faster_restarts_never_hurt(
    stall_s: float, restart_s: float, between_s: float, factor: float
) -> None:
    share = best_goodput(stall_s, restart_s, between_s)
    assert best_goodput(stall_s, restart_s / factor, between_s) >= share
    interval_s = best_interval_s(stall_s, between_s)
    rarer = goodput(
        interval_s=interval_s,
        stall_s=stall_s,
        restart_s=restart_s,
        between_failures_s=factor * between_s,
    )
    assert rarer >= share


@pytest.mark.parametrize("mean", [0.0, 0.3, 2.0, 17.5])
@pytest.mark.parametrize("chance", [0.5, 0.9, 0.99])
def test_spares_by_the_sum_of_poisson(mean: float, chance: float) -> None:
    spares = spares_needed(mean, chance)

    def covered(count: int) -> float:
        return sum(exp(-mean) * mean**k / factorial(k) for k in range(count + 1))

    assert covered(spares) >= chance
    assert spares == 0 or covered(spares - 1) < chance


def test_spares_of_a_large_fleet_are_those_of_a_normal_distribution() -> None:
    spares = spares_needed(10_000, 0.99)
    assert spares == pytest.approx(10_000 + 2.326 * sqrt(10_000), abs=3)
